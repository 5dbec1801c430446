//! Killed at any instant, the driver loses nothing it acknowledged and shows nothing that is half done.

use std::path::Path;
use std::time::Duration;

use driver_testsuite::{Client, Running, detail, reason};
use rand::Rng;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::support::{Reply, eventually, own_files, start};

const ROUNDS: u8 = 12;
const SMALL: usize = 300 << 10;
const LARGE: usize = 1 << 20;

/// Replaces the content at `path` by `SMALL` bytes of 0, of 1 and so on until the driver dies. Tells what was acknowledged.
async fn put_until_death(client: &Client, path: &str) -> u8 {
    let mut acknowledged = 0;
    while client.put(path, vec![acknowledged + 1; SMALL]).await.is_ok() {
        acknowledged += 1;
    }
    acknowledged
}

async fn stage_and_commit(client: &Client, fill: u8) -> Reply<()> {
    client.stage("/upload/data", &vec![fill; LARGE]).await?;
    client.commit("/upload/data", &format!("/blobs/{fill}/data"), LARGE as u64).await?;
    Ok(())
}

/// Commits one content after another until the driver dies. Tells how many were acknowledged.
async fn commit_until_death(client: &Client) -> u8 {
    let mut acknowledged = 0;
    while stage_and_commit(client, acknowledged + 1).await.is_ok() {
        acknowledged += 1;
    }
    acknowledged
}

/// Whether `content` is `size` bytes of one number, and which.
fn fill_of(content: &[u8], size: usize) -> u8 {
    let fill = content[0];
    assert!(content.len() == size && content.iter().all(|byte| *byte == fill), "{} bytes", content.len());
    fill
}

async fn kill_amid_work(root: &Path) -> (u8, u8) {
    let (client, driver) = start(root, &[]).await.into_parts();
    let delay = Duration::from_micros(rand::rng().random_range(0..80_000));
    let killed = async {
        tokio::time::sleep(delay).await;
        drop(driver);
    };
    let (put, committed, ()) = tokio::join!(put_until_death(&client, "/link"), commit_until_death(&client), killed);
    (put, committed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_the_old_or_the_whole_new() {
    for round in 0..ROUNDS {
        let place = tempfile::tempdir().unwrap();
        let (put, committed) = kill_amid_work(place.path()).await;
        let driver = start(place.path(), &[]).await;
        match driver.content("/link").await {
            Ok(content) => assert!((put..=put + 1).contains(&fill_of(&content, SMALL)), "round {round}"),
            missing => assert_eq!((reason(missing), put), (Reason::NotFound, 0), "round {round}"),
        }
        for fill in 1..=committed {
            let content = driver.content(&format!("/blobs/{fill}/data")).await.unwrap();
            assert_eq!(fill_of(&content, LARGE), fill, "round {round}");
        }
        finish_last_commit(&driver, committed + 1).await;
        eventually(vec!["alive".to_owned()], || own_files(place.path())).await;
    }
}

/// What was in flight is not there, or whole; and the session is there until the target is.
async fn finish_last_commit(driver: &Running, fill: u8) {
    let target = format!("/blobs/{fill}/data");
    match driver.content(&target).await {
        Ok(content) => assert_eq!(fill_of(&content, LARGE), fill),
        missing => assert_eq!(reason(missing), Reason::NotFound),
    }
    driver.stage("/upload/data", &vec![fill; LARGE]).await.unwrap();
    driver.commit("/upload/data", &target, LARGE as u64).await.unwrap();
    driver.commit("/upload/data", &target, LARGE as u64).await.unwrap();
    assert_eq!(reason(driver.commit("/upload/data", &target, 1).await), Reason::NotFound);
    assert_eq!(fill_of(&driver.content(&target).await.unwrap(), LARGE), fill);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_where_the_killed_driver_had_flushed() {
    let place = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..LARGE).map(|index| (index % 251) as u8).collect();
    let driver = start(place.path(), &[]).await;
    let mut writing = driver.open("/upload/data", 0).await.unwrap();
    writing.data(&content[..700_001]).await;
    assert_eq!(writing.flush().await.unwrap(), 700_001);
    writing.data(&content[..100_000]).await;
    drop(driver);

    let driver = start(place.path(), &[]).await;
    let beyond = detail(driver.open("/upload/data", LARGE as u64).await);
    assert_eq!(beyond.reason(), Reason::OffsetInvalid);
    assert!(beyond.persisted >= 700_001);
    let mut writing = driver.open("/upload/data", 700_001).await.unwrap();
    writing.data(&content[700_001..]).await;
    assert_eq!(writing.flush().await.unwrap(), LARGE as u64);
    driver.commit("/upload/data", "/blob", LARGE as u64).await.unwrap();
    assert!(driver.content("/blob").await.unwrap() == content);
}

#[tokio::test]
async fn the_version_outlives_the_driver_and_a_move() {
    let place = tempfile::tempdir().unwrap();
    let driver = start(place.path(), &[]).await;
    let version = driver.put("/a", "content").await.unwrap().version;
    drop(driver);
    let driver = start(place.path(), &[]).await;
    assert_eq!(driver.stat("/a").await.unwrap().version, version);
    driver.rename("/a", "/b/c").await.unwrap();
    assert_eq!(driver.stat("/b/c").await.unwrap().version, version);
}

#[tokio::test]
async fn no_two_contents_of_a_path_share_a_version() {
    let place = tempfile::tempdir().unwrap();
    let driver = start(place.path(), &[]).await;
    let mut versions = std::collections::BTreeSet::new();
    for round in 0..200_u8 {
        assert!(versions.insert(driver.put("/tag", vec![round; 32]).await.unwrap().version), "round {round}");
    }
}
