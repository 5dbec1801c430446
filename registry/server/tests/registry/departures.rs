//! Clients that go away, say nothing, or take all that they can: what they leave behind, and what others still get.

use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::images::{OCI_MANIFEST, image, push_blobs};
use crate::support::{PATIENCE, Registry, Setup, eventually, sha256};

const ROUNDS: usize = 40;

async fn connect(registry: &Registry) -> TcpStream {
    TcpStream::connect(registry.base().strip_prefix("http://").unwrap()).await.unwrap()
}

fn request(method: &str, location: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {location} HTTP/1.1\r\nHost: x\r\nContent-Type: {OCI_MANIFEST}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Sends a whole request and is gone, without a word, some moment later.
async fn send_and_vanish(registry: &Registry, request: &[u8]) {
    let mut stream = connect(registry).await;
    stream.set_zero_linger().unwrap();
    stream.write_all(request).await.unwrap();
    tokio::time::sleep(Duration::from_micros(rand::random_range(0..20_000))).await;
}

async fn tags(registry: &Registry) -> Vec<String> {
    let list = registry.get("/v2/a/b/tags/list").await.json();
    list["tags"].as_array().into_iter().flatten().map(|tag| tag.as_str().unwrap().to_owned()).collect()
}

/// Waits until every tag that is listed can be pulled.
async fn every_tag_resolves(registry: &Registry) {
    let all_resolve = || async {
        for tag in tags(registry).await {
            if registry.head(&format!("/v2/a/b/manifests/{tag}")).await.status != StatusCode::OK {
                return None;
            }
        }
        Some(())
    };
    eventually("every listed tag can be pulled", all_resolve).await;
}

#[tokio::test]
async fn tags_are_whole_or_not_there_when_their_clients_go_away() {
    let registry = Setup::filesystem().start().await;
    push_blobs(&registry, "a/b").await;
    let manifest = image(json!({}));
    for round in 0..ROUNDS {
        let put = request("PUT", &format!("/v2/a/b/manifests/put-{round}"), &manifest);
        send_and_vanish(&registry, &put).await;
        registry.put_manifest("a/b", &format!("kept-{round}"), OCI_MANIFEST, manifest.clone()).await;
        let delete = request("DELETE", &format!("/v2/a/b/manifests/kept-{round}"), b"");
        send_and_vanish(&registry, &delete).await;
    }
    every_tag_resolves(&registry).await;
}

#[tokio::test]
async fn a_tag_outlives_the_client_that_deletes_what_it_named_before() {
    let registry = Setup::filesystem().start().await;
    push_blobs(&registry, "a/b").await;
    let (before, after) = (image(json!({})), image(json!({ "annotations": { "a": "b" } })));
    for _ in 0..ROUNDS {
        registry.put_manifest("a/b", "v1", OCI_MANIFEST, before.clone()).await.expect(StatusCode::CREATED);
        let delete = request("DELETE", &format!("/v2/a/b/manifests/{}", sha256(&before)), b"");
        let put = registry.put_manifest("a/b", "v1", OCI_MANIFEST, after.clone());
        let (put, ()) = tokio::join!(put, send_and_vanish(&registry, &delete));
        put.expect(StatusCode::CREATED);
        // The deletion may still be at it, and have the tag aside for a moment.
        let pulled = || async {
            let answer = registry.get("/v2/a/b/manifests/v1").await;
            (answer.status == StatusCode::OK).then_some(answer.body)
        };
        assert!(eventually("the tag can be pulled", pulled).await == after);
    }
}

#[tokio::test]
async fn who_has_said_all_still_gets_an_answer() {
    let registry = Setup::filesystem().start().await;
    push_blobs(&registry, "a/b").await;
    let put = request("PUT", "/v2/a/b/manifests/v1", &image(json!({})));
    let get = request("GET", "/v2/a/b/manifests/v1", b"");
    for (request, expected) in [(put, "HTTP/1.1 201"), (get, "HTTP/1.1 200")] {
        let mut stream = connect(&registry).await;
        stream.write_all(&request).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(expected), "{answer}");
    }
}

/// In MiB.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() / 1024
}

#[tokio::test]
async fn large_manifests_that_never_end_take_little_and_keep_nobody_out() {
    const CLIENTS: usize = 60;
    const MOST: usize = 64;
    let registry = Setup::filesystem().start().await;
    push_blobs(&registry, "a/b").await;
    let before = resident(registry.pid());
    let mut unfinished = request("PUT", "/v2/a/b/manifests/v2", &vec![b' '; 4_194_294]);
    unfinished.truncate(unfinished.len() - 100);
    // They wait for room with the rest of their body in the kernel; as long as they live nobody is told anything.
    let streams = join_all((0..CLIENTS).map(|_| async {
        let mut stream = connect(&registry).await;
        let _refused_or_waiting = tokio::time::timeout(Duration::from_secs(2), stream.write_all(&unfinished)).await;
        stream
    }));
    let streams = streams.await;
    registry.put_manifest("a/b", "v1", OCI_MANIFEST, image(json!({}))).await.expect(StatusCode::CREATED);
    registry.get("/v2/a/b/manifests/v1").await.expect(StatusCode::OK);
    let grown = resident(registry.pid()).saturating_sub(before);
    assert!(grown <= MOST, "{CLIENTS} unfinished manifests take {grown} MiB");
    drop(streams);
}
