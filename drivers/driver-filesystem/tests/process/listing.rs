//! What shows of a folder: all content, in order, and nothing else.

use std::fs;

use driver_testsuite::reason;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::support::start;

const MANY: usize = 20_000;

#[tokio::test]
async fn many_thousand_names_are_paged_completely_and_in_order() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("many");
    fs::create_dir(&folder).unwrap();
    let mut names: Vec<String> =
        (0..MANY).map(|number| format!("{:x}", number * 2_654_435_761 % 4_294_967_296)).collect();
    for (number, name) in names.iter().enumerate() {
        match number % 4 {
            0 => fs::create_dir_all(folder.join(name).join("current")).unwrap(),
            _ => fs::write(folder.join(name), "").unwrap(),
        }
        if number % 8 == 0 {
            fs::write(folder.join(name).join("current/link"), "").unwrap();
        }
    }
    let mut number = 0;
    names.retain(|_| {
        number += 1;
        (number - 1) % 4 != 0 || (number - 1) % 8 == 0
    });
    names.sort();

    let driver = start(place.path(), &[]).await;
    let mut listed: Vec<String> = Vec::new();
    loop {
        let after = listed.last().cloned().unwrap_or_default();
        let page = driver.list("/many", &after, 1000).await.unwrap();
        listed.extend(page.entries.into_iter().map(|entry| entry.name));
        if !page.more {
            break;
        }
    }
    assert!(listed == names, "{} of {} names", listed.len(), names.len());
    assert_eq!(driver.paths("/many").await.unwrap().len(), names.len());
    driver.delete("/many", true).await.unwrap();
    assert!(driver.names("/").await.unwrap().is_empty());
}

#[tokio::test]
async fn pages_go_on_over_thousands_of_folders_that_do_not_show() {
    let place = tempfile::tempdir().unwrap();
    for number in 0..3000 {
        fs::create_dir_all(place.path().join(format!("tags/t{number:04}/index"))).unwrap();
    }
    for name in ["t0000", "t1500", "t2999"] {
        fs::write(place.path().join("tags").join(name).join("index/link"), "").unwrap();
    }
    let driver = start(place.path(), &[]).await;
    let rows = [("", 0, vec!["t0000", "t1500", "t2999"], false), ("", 1, vec!["t0000"], true)];
    let more_rows =
        [("t0000", 1, vec!["t1500"], true), ("t1500", 1, vec!["t2999"], false), ("t2999", 1, vec![], false)];
    for (after, limit, names, more) in rows.into_iter().chain(more_rows) {
        let page = driver.list("/tags", after, limit).await.unwrap();
        let listed: Vec<_> = page.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!((listed, page.more), (names, more), "after {after:?}");
    }
}

#[tokio::test]
async fn what_is_no_content_does_not_show() {
    let place = tempfile::tempdir().unwrap();
    for folder in ["empty/below", "lost+found", "a/~writers", "a/empty"] {
        fs::create_dir_all(place.path().join(folder)).unwrap();
    }
    for file in ["lost+found/file", "a/~writers/data", "a/not a name", "a/name~", ".nfs0001", "a/content"] {
        fs::write(place.path().join(file), "1").unwrap();
    }
    let driver = start(place.path(), &[]).await;
    assert_eq!(driver.names("/").await.unwrap(), [".nfs0001", "a"]);
    assert_eq!(driver.names("/a").await.unwrap(), ["content"]);
    assert_eq!(driver.paths("/").await.unwrap(), ["/.nfs0001", "/a/content"]);
    for path in ["/empty", "/empty/below", "/a/empty"] {
        assert_eq!(reason(driver.stat(path).await), Reason::NotFound, "{path}");
        assert!(driver.names(path).await.unwrap().is_empty(), "{path}");
        driver.delete(path, false).await.unwrap();
    }
}

#[tokio::test]
async fn empty_folders_are_in_nobodys_way() {
    let place = tempfile::tempdir().unwrap();
    for folder in ["put/a/b", "target/a", "session/a", "moved"] {
        fs::create_dir_all(place.path().join(folder)).unwrap();
    }
    let driver = start(place.path(), &[]).await;
    driver.put_if("/put", "1", true).await.unwrap();
    driver.stage("/session", b"2").await.unwrap();
    driver.commit("/session", "/target", 1).await.unwrap();
    driver.rename("/put", "/moved").await.unwrap();
    assert_eq!(driver.paths("/").await.unwrap(), ["/moved", "/target"]);
    driver.put("/full/content", "3").await.unwrap();
    assert_eq!(reason(driver.put("/full", "4").await), Reason::PathConflict);
    assert_eq!(reason(driver.put("/moved/below", "4").await), Reason::PathConflict);
    assert_eq!(reason(driver.delete("/full", false).await), Reason::PathConflict);
}

#[tokio::test]
async fn folders_go_with_their_last_content() {
    let place = tempfile::tempdir().unwrap();
    let driver = start(place.path(), &[]).await;
    driver.put("/a/b/c/one", "1").await.unwrap();
    driver.put("/a/b/two", "2").await.unwrap();
    driver.delete("/a/b/c/one", false).await.unwrap();
    assert!(!place.path().join("a/b/c").exists() && place.path().join("a/b").exists());
    driver.rename("/a/b/two", "/three").await.unwrap();
    assert!(!place.path().join("a").exists());
    assert_eq!(driver.names("/").await.unwrap(), ["three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_puts_and_who_prunes_do_not_disturb_each_other() {
    let place = tempfile::tempdir().unwrap();
    let driver = start(place.path(), &[]).await;
    let work = (0..8).map(|worker| {
        let driver = &driver;
        async move {
            for _ in 0..40 {
                let path = format!("/deep/er/still/{worker}");
                driver.put(&path, "1").await.unwrap();
                assert_eq!(driver.content(&path).await.unwrap(), b"1");
                driver.delete(&path, worker % 2 == 0).await.unwrap();
            }
        }
    });
    futures::future::join_all(work).await;
    assert!(driver.names("/").await.unwrap().is_empty());
}
