//! Uploads that nobody continues: removed when they are old, and never under the hands of a request.

use std::path::Path;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use reqwest::StatusCode;

use tokio::time::timeout;

use crate::interruptions::{open_patch, upload_folder};
use crate::pushing::{begin, close, content, offset, patch_at};
use crate::support::{Setup, eventually, sha256};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes every file of an upload look as if it had been written ten days ago.
fn age(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            age(&path);
        } else {
            std::fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(SystemTime::now() - 10 * DAY)
                .unwrap();
        }
    }
}

fn purging_often(setup: Setup) -> Setup {
    setup.set("storage.maintenance.uploadpurging.interval", "20ms").set("log.formatter", "json")
}

#[tokio::test]
async fn an_upload_that_a_request_writes_is_not_purged_whatever_its_age() {
    let registry = purging_often(Setup::filesystem()).start().await;
    let content = content(34 << 20);
    let location = begin(&registry, "").await;
    let (sender, patch) = open_patch(&registry, &location);
    sender.send(Ok(content.slice(..33 << 20))).await.unwrap();
    eventually("it is saved", async || (offset(&registry, &location).await == 32 << 20).then_some(())).await;
    age(&upload_folder(registry.setup(), &location));
    let purges = || registry.log().matches("uploads were purged").count();
    let seen = purges();
    eventually("it was purged around", async || (purges() > seen + 2).then_some(())).await;
    sender.send(Ok(content.slice(33 << 20..))).await.unwrap();
    drop(sender);
    patch.await.unwrap().expect(StatusCode::ACCEPTED);
    close(&registry, &location, &sha256(&content), "").await.expect(StatusCode::CREATED);
    let left = begin(&registry, "").await;
    age(&upload_folder(registry.setup(), &left));
    let gone = async || (registry.get(&left).await.status == StatusCode::NOT_FOUND).then_some(());
    eventually("what nobody writes is purged", gone).await;
}

#[tokio::test]
async fn an_upload_that_a_replica_purges_is_not_touched_and_goes_even_when_that_replica_dies() {
    let setup = Setup::filesystem().set("storage.filesystem.shared", "true");
    let registry = setup.start().await;
    let location = begin(&registry, "").await;
    let folder = upload_folder(&setup, &location);
    age(&folder);
    std::fs::create_dir_all(folder.join("turns/purging")).unwrap();
    std::fs::write(folder.join("turns/purging/019a0000-0000-7000-8000-000000000000"), "").unwrap();
    let refused = registry.patch(&location, "more").await.expect_error(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID");
    assert_eq!(refused.header("location"), location);
    let purged = purge(&setup).await;
    assert_eq!(purged, "1 of 1 uploads were removed");
    registry.patch(&location, "more").await.expect_error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn bytes_are_not_acknowledged_while_another_request_could_drop_them() {
    let setup = Setup::filesystem().set("storage.filesystem.shared", "true");
    let registry = setup.start().await;
    for (of_another, waits) in [(SystemTime::now(), true), (SystemTime::now() - DAY, false)] {
        let location = begin(&registry, "").await;
        let folder = upload_folder(&setup, &location);
        let mark = folder.join("turns/appending/019a0000-0000-7000-8000-000000000000");
        std::fs::create_dir_all(mark.parent().unwrap()).unwrap();
        std::fs::File::create(&mark).unwrap().set_modified(of_another).unwrap();
        let mut patch = std::pin::pin!(registry.patch(&location, "bytes"));
        if waits {
            assert!(timeout(Duration::from_secs(2), &mut patch).await.is_err());
            assert_eq!(offset(&registry, &location).await, 5);
            std::fs::remove_file(&mark).unwrap();
        }
        patch.await.expect(StatusCode::ACCEPTED);
    }
}

async fn purge(setup: &Setup) -> String {
    let root = setup.data();
    let command = Setup::unsaid()
        .set("storage.filesystem.rootdirectory", root.to_str().unwrap())
        .set("storage.filesystem.shared", "true");
    let output = command.argument("--older-than").argument("24h").run("purge-uploads").await;
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[tokio::test]
async fn bytes_that_were_accepted_beside_a_purge_are_there_after_it() {
    let setup = Setup::filesystem().set("storage.filesystem.shared", "true");
    let registry = setup.start().await;
    let mut locations = Vec::new();
    for _ in 0..150 {
        let location = begin(&registry, "").await;
        age(&upload_folder(&setup, &location));
        locations.push(location);
    }
    let patches = futures::stream::iter(&locations)
        .map(|location| async { patch_at(&registry, location, 0, "awake".into()).await.status })
        .buffered(8)
        .collect::<Vec<_>>();
    let (patched, _) = tokio::join!(patches, purge(&setup));
    for (status, location) in patched.into_iter().zip(&locations) {
        match status {
            StatusCode::ACCEPTED => assert_eq!(offset(&registry, location).await, 5),
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => {}
            other => panic!("{other}"),
        }
    }
}
