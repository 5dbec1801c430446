//! Nothing outside the root is read, written, listed or deleted, whatever links lie in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use driver_testsuite::reason;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::support::{Reply, start};

/// A store with links that lead out of it, and what they lead to.
fn store_with_links(place: &Path) -> std::path::PathBuf {
    let (root, outside) = (place.join("root"), place.join("outside"));
    fs::create_dir_all(root.join("inside")).unwrap();
    fs::create_dir_all(outside.join("folder")).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    fs::write(outside.join("folder/secret"), "secret").unwrap();
    fs::write(root.join("inside/content"), "content").unwrap();
    symlink(&outside, root.join("out")).unwrap();
    symlink("../outside", root.join("relative")).unwrap();
    symlink(outside.join("secret"), root.join("secret")).unwrap();
    symlink("content", root.join("inside/link")).unwrap();
    root
}

fn outside_is_untouched(place: &Path) {
    let names = |folder: &str| fs::read_dir(place.join(folder)).unwrap().count();
    assert_eq!((names("outside"), names("outside/folder")), (2, 1));
    assert_eq!(fs::read(place.join("outside/secret")).unwrap(), b"secret");
    assert_eq!(fs::read(place.join("outside/folder/secret")).unwrap(), b"secret");
}

async fn is_denied<T>(reply: impl Future<Output = Reply<T>>, what: &str) {
    assert_eq!(reason(reply.await), Reason::AccessDenied, "{what}");
}

#[tokio::test]
async fn no_link_is_followed_by_any_call() {
    let place = tempfile::tempdir().unwrap();
    let driver = start(&store_with_links(place.path()), &[]).await;
    driver.stage("/session", b"staged").await.unwrap();
    for path in ["/out/secret", "/out/new", "/relative/secret", "/out/folder/secret", "/secret/below"] {
        is_denied(driver.stat(path), path).await;
        is_denied(driver.get(path), path).await;
        is_denied(driver.read(path, 0, None), path).await;
        is_denied(driver.put(path, "evil"), path).await;
        is_denied(driver.list(path, "", 0), path).await;
        is_denied(driver.rename("/inside/content", path), path).await;
        is_denied(driver.rename(path, "/stolen"), path).await;
        is_denied(driver.stage(path, b"evil"), path).await;
        is_denied(driver.commit("/session", path, 6), path).await;
        is_denied(driver.delete(path, false), path).await;
        is_denied(driver.delete(path, true), path).await;
    }
    for path in ["/secret", "/out", "/inside/link"] {
        is_denied(driver.stat(path), path).await;
        is_denied(driver.get(path), path).await;
        is_denied(driver.rename(path, "/stolen"), path).await;
    }
    assert_eq!(driver.names("/").await.unwrap(), ["inside", "session"]);
    assert_eq!(driver.paths("/").await.unwrap(), ["/inside/content", "/session"]);
    outside_is_untouched(place.path());
}

#[tokio::test]
async fn a_link_is_replaced_or_deleted_itself() {
    let place = tempfile::tempdir().unwrap();
    let driver = start(&store_with_links(place.path()), &[]).await;
    driver.put("/secret", "mine").await.unwrap();
    assert_eq!(driver.content("/secret").await.unwrap(), b"mine");
    driver.delete("/relative", true).await.unwrap();
    driver.delete("/out", false).await.unwrap();
    driver.stage("/inside/link", b"staged").await.unwrap();
    driver.commit("/inside/link", "/blob", 6).await.unwrap();
    assert_eq!(driver.paths("/").await.unwrap(), ["/blob", "/inside/content", "/secret"]);
    driver.delete("/inside", true).await.unwrap();
    outside_is_untouched(place.path());
}

#[tokio::test]
async fn links_below_a_deleted_folder_are_not_followed() {
    let place = tempfile::tempdir().unwrap();
    let root = store_with_links(place.path());
    symlink(place.path().join("outside"), root.join("inside/out")).unwrap();
    let driver = start(&root, &[]).await;
    driver.delete("/inside", true).await.unwrap();
    assert!(!root.join("inside").exists());
    outside_is_untouched(place.path());
}

#[tokio::test]
async fn the_root_itself_may_be_a_link() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("real")).unwrap();
    symlink("real", place.path().join("root")).unwrap();
    let driver = start(&place.path().join("root"), &[]).await;
    driver.put("/a", "1").await.unwrap();
    assert_eq!(fs::read(place.path().join("real/a")).unwrap(), b"1");
}

#[tokio::test]
async fn special_files_keep_nobody_waiting() {
    let place = tempfile::tempdir().unwrap();
    let fifo = place.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path().join("socket")).unwrap();
    let driver = start(place.path(), &[]).await;
    let all = async {
        for path in ["/fifo", "/socket"] {
            is_denied(driver.stat(path), path).await;
            is_denied(driver.get(path), path).await;
            is_denied(driver.commit(path, "/blob", 0), path).await;
            assert!(driver.open(path, 1).await.is_err());
        }
        assert!(driver.names("/").await.unwrap().is_empty());
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
}
