//! What the driver wrote is read and listed by another library of Azure, and the other way round, on a running Azurite.

#![allow(clippy::unwrap_used, clippy::panic)]

use driver_testsuite::{Launch, Running, content};
use futures::TryStreamExt;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

const BLOCK: usize = 4 << 20;

/// Where the server is. Without it these tests cannot run.
fn setting(name: &str) -> String {
    let why = |_| panic!("{name} is not set: these tests are part of `cargo xtask test-all azure`");
    std::env::var(name).unwrap_or_else(why)
}

/// A driver whose store is a folder of the container.
async fn start(root: &str) -> Running {
    let launch = Launch::new(env!("CARGO_BIN_EXE_bulkhead-driver-azure"))
        .parameter("endpoint", &setting("AZURITE_ENDPOINT"))
        .parameter("accountname", &setting("AZURITE_ACCOUNT"))
        .parameter("accountkey", &setting("AZURITE_KEY"))
        .parameter("container", &setting("AZURITE_CONTAINER"))
        .parameter("rootdirectory", root)
        .parameter("chunksize", &BLOCK.to_string());
    Running::start(&launch).await.unwrap()
}

fn oracle() -> MicrosoftAzure {
    MicrosoftAzureBuilder::new()
        .with_endpoint(setting("AZURITE_ENDPOINT"))
        .with_allow_http(true)
        .with_account(setting("AZURITE_ACCOUNT"))
        .with_access_key(setting("AZURITE_KEY"))
        .with_container_name(setting("AZURITE_CONTAINER"))
        .build()
        .unwrap()
}

async fn listed(oracle: &MicrosoftAzure, root: &str) -> Vec<String> {
    let objects: Vec<_> = oracle.list(Some(&Path::from(root))).try_collect().await.unwrap();
    let mut paths: Vec<_> = objects.into_iter().map(|object| object.location.to_string()).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn another_library_sees_what_the_driver_wrote() {
    let (driver, oracle) = (start("ours").await, oracle());
    let large = content(1, 2 * BLOCK + 3);
    driver.put("/a/small", "content").await.unwrap();
    driver.put("/a-b/empty", "").await.unwrap();
    for (target, hint) in [("/a/large", ""), ("/a/hinted", "/a/hinted")] {
        let mut session = driver.open_for("/up/data", 0, hint).await.unwrap();
        session.data(&large).await;
        session.flush().await.unwrap();
        driver.commit("/up/data", target, large.len() as u64).await.unwrap();
    }
    driver.rename("/a/small", "/b/small").await.unwrap();
    let wanted = ["ours/a-b/empty", "ours/a/hinted", "ours/a/large", "ours/b/small"];
    assert_eq!(listed(&oracle, "ours").await, wanted, "and nothing of sessions is left");
    for (key, wanted) in
        [("a/large", &large[..]), ("a/hinted", &large[..]), ("b/small", b"content"), ("a-b/empty", b"")]
    {
        let got = oracle.get(&Path::from(format!("ours/{key}"))).await.unwrap();
        let (size, etag) = (got.meta.size, got.meta.e_tag.clone().unwrap_or_default());
        assert_eq!(got.bytes().await.unwrap(), wanted, "{key}");
        let info = driver.stat(&format!("/{key}")).await.unwrap();
        assert_eq!((info.size, info.version.as_str()), (size, etag.trim_matches('"')), "{key}");
    }
}

#[tokio::test]
async fn the_driver_sees_what_another_library_wrote() {
    let (driver, oracle) = (start("theirs").await, oracle());
    let large = content(2, 2 * BLOCK + 3);
    oracle.put(&Path::from("theirs/a/small"), PutPayload::from_static(b"content")).await.unwrap();
    let mut upload = oracle.put_multipart(&Path::from("theirs/a.b/large")).await.unwrap();
    for part in large.chunks(BLOCK) {
        upload.put_part(PutPayload::from(part.to_vec())).await.unwrap();
    }
    upload.complete().await.unwrap();
    assert_eq!(driver.walk_paths("/", "").await.unwrap(), ["/a/small", "/a.b/large"]);
    assert_eq!(driver.read("/a/small", 0, None).await.unwrap().1, b"content");
    assert_eq!(driver.read("/a.b/large", 0, None).await.unwrap().1, large);
    driver.delete("/a.b", true).await.unwrap();
    assert_eq!(listed(&oracle, "theirs").await, ["theirs/a/small"]);
}

#[tokio::test]
async fn two_sessions_for_one_target_do_not_disturb_each_other() {
    let driver = start("shared").await;
    let wanted = content(3, 2 * BLOCK);
    let mut sessions = Vec::new();
    for staging in ["/one", "/other"] {
        let mut session = driver.open_for(staging, 0, "/target").await.unwrap();
        session.data(&wanted).await;
        assert_eq!(session.flush().await.unwrap(), wanted.len() as u64);
        sessions.push(session);
    }
    for staging in ["/one", "/other"] {
        driver.commit(staging, "/target", wanted.len() as u64).await.unwrap();
        assert_eq!(driver.read("/target", 0, None).await.unwrap().1, wanted);
    }
    assert_eq!(listed(&oracle(), "shared").await, ["shared/target"]);
}

/// The service throws blocks away when something is put at their key; the emulator keeps them.
#[tokio::test]
async fn blocks_whose_target_was_overwritten_are_published_or_told_as_lost() {
    let driver = start("lost").await;
    let wanted = content(4, 2 * BLOCK);
    let mut session = driver.open_for("/up", 0, "/target").await.unwrap();
    session.data(&wanted).await;
    session.flush().await.unwrap();
    driver.put("/target", "another content").await.unwrap();
    let committed = driver.commit("/up", "/target", wanted.len() as u64).await;
    let seen = driver.read("/target", 0, None).await.unwrap().1;
    match committed {
        Ok(_) => assert_eq!(seen, wanted),
        Err(refused) => {
            assert!(refused.message().contains("0 bytes"), "{refused:?}");
            assert_eq!(seen, b"another content");
        }
    }
    let mut session = driver.open_for("/up", 0, "/target").await.unwrap();
    session.data(&wanted).await;
    session.flush().await.unwrap();
    driver.commit("/up", "/target", wanted.len() as u64).await.unwrap();
    assert_eq!(driver.read("/target", 0, None).await.unwrap().1, wanted);
}
