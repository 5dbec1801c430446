//! Drivers that are killed at random moments, and clients that rest, while others push and pull.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::images::{image, push as push_manifest, push_blobs};
use crate::pushing::{WAYS, assert_stored, content, push};
use crate::support::{Registry, Setup, sha256};

/// As many as a registry bears without giving its driver up.
const KILLS: usize = 4;
/// The rounds of each test end by themselves after this long …
const ROUNDS: Duration = Duration::from_secs(6);
/// … and not before there were as many.
const ROUNDS_MIN: usize = 3;

/// Kills the driver of a registry at random moments.
fn kill_now_and_then(first: Pid, readyz: String) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut pid = Some(first);
        for _ in 0..KILLS {
            tokio::time::sleep(Duration::from_micros(rand::random_range(0..60_000))).await;
            let _ended_already = pid.map(|pid| kill_process(pid, Signal::KILL));
            pid = next_driver(&readyz, pid).await;
        }
    }))
}

/// The driver that runs after `dead`.
async fn next_driver(readyz: &str, dead: Option<Pid>) -> Option<Pid> {
    loop {
        let answer = reqwest::get(readyz).await.ok()?.bytes().await.ok()?;
        let status: serde_json::Value = serde_json::from_slice(&answer).ok()?;
        let pid = status["driver"]["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if pid.is_some() && pid != dead {
            return pid;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn killing(registry: &Registry) -> AbortOnDropHandle<()> {
    kill_now_and_then(registry.driver_pid().await, registry.url("/readyz"))
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_do_not_notice_that_the_driver_is_killed() {
    let begun = Instant::now();
    let mut round = 0;
    while begun.elapsed() < ROUNDS || round < ROUNDS_MIN {
        let registry = Setup::filesystem().start().await;
        let killing = killing(&registry).await;
        let pushes = WAYS.iter().enumerate().map(async |(number, way)| {
            let content = content(1_000_000 * number + 1_000 * round + 7);
            let digest = sha256(&content);
            push(&registry, *way, "", &digest, &content).await.0.expect(StatusCode::CREATED);
            (digest, content)
        });
        let images = async {
            push_blobs(&registry, "a").await;
            push_manifest(&registry, "a", Some("v1"), &image(serde_json::json!({}))).await
        };
        let (pushed, manifest) = tokio::join!(join_all(pushes), images);
        drop(killing);
        let registry = registry.restart(Signal::KILL).await;
        for (digest, content) in &pushed {
            assert_stored(&registry, digest, content).await;
        }
        let tagged = registry.get("/v2/a/manifests/v1").await.expect(StatusCode::OK);
        assert_eq!(tagged.header("docker-content-digest"), manifest);
        round += 1;
    }
}

/// A registry that has every byte through the protocol.
fn without_descriptors() -> Setup {
    Setup::filesystem().set("driver.descriptors", "false")
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_do_not_notice_that_the_driver_is_killed() {
    pull_while_it_is_killed(without_descriptors()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_of_handed_files_do_not_notice_that_the_driver_is_killed() {
    pull_while_it_is_killed(Setup::filesystem()).await;
}

async fn pull_while_it_is_killed(setup: Setup) {
    let content = content(24 << 20);
    let mut registry = setup.start().await;
    let digest = registry.push_blob("a/b", content.clone()).await;
    let (begun, mut round) = (Instant::now(), 0);
    while begun.elapsed() < ROUNDS || round < ROUNDS_MIN {
        let killing = killing(&registry).await;
        join_all((0..3).map(|_| assert_stored(&registry, &digest, &content))).await;
        drop(killing);
        registry = registry.restart(Signal::TERM).await;
        round += 1;
    }
}

/// Begins a pull and reads no more of it than its head.
async fn rest_in_a_pull(registry: &Registry, digest: &str) -> TcpStream {
    let address = registry.base().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /v2/a/b/blobs/{digest} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_rest_in_a_pull_hold_up_nobody_and_can_go_on() {
    let registry = without_descriptors().start().await;
    let content = content(20 << 20);
    let digest = registry.push_blob("a/b", content.clone()).await;
    // Many more than one connection to the driver carries.
    let mut resting = join_all((0..150).map(|_| rest_in_a_pull(&registry, &digest))).await;
    let small = Bytes::from_static(b"small");
    let others = async {
        for _ in 0..5 {
            let pushed = registry.push_blob("a/b", small.clone()).await;
            assert_stored(&registry, &pushed, &small).await;
            assert_stored(&registry, &digest, &content).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), others).await.expect("those who rest should hold up nobody");
    registry.signal_driver(Signal::KILL).await;
    let mut rest = Vec::new();
    resting.swap_remove(7).read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(&content), "one who rested over the driver's death gets the rest of the content");
}
