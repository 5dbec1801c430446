//! Blobs on their way into the store.

use reqwest::header::RANGE;
use reqwest::{Method, StatusCode};

use super::Image;
use super::recording::Recording;
use crate::interruptions::{open_body, open_patch};
use crate::pushing::{UPLOADS, begin, close, offset, patch_at};
use crate::support::{Answer, eventually, sha256};

const HALF: usize = 256 << 10;

#[tokio::test]
async fn monolithic_push() {
    let recording = Recording::begin("monolithic-push", 1).await;
    let Image { config, layer, manifest } = Image::number(1);
    let registry = recording.step("a client asks for a layer that is not there, and pushes it with one POST");
    let digest = sha256(&layer);
    registry.head(&format!("/v2/a/b/blobs/{digest}")).await.expect(StatusCode::NOT_FOUND);
    registry.push_blob("a/b", layer.clone()).await;
    let registry = recording.step("a config comes with POST and PUT");
    let location = begin(registry, "").await;
    close(registry, &location, &sha256(&config), config.clone()).await.expect(StatusCode::CREATED);
    recording.step("the manifest");
    let revision = recording.put_image("a/b", "v1", &manifest).await;
    let registry = recording.step("a layer with another digest is refused");
    let wrong = format!("{UPLOADS}?digest={}", sha256(b"something else"));
    let refused = registry.request(Method::POST, &wrong).body(layer.clone());
    Answer::to(refused).await.expect_error(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    let registry = recording.step("a client pulls all of it, and a part of the layer");
    registry.get("/v2/a/b/manifests/v1").await.expect(StatusCode::OK);
    registry.head(&format!("/v2/a/b/manifests/{revision}")).await.expect(StatusCode::OK);
    registry.get(&format!("/v2/a/b/blobs/{}", sha256(&config))).await.expect(StatusCode::OK);
    registry.get(&format!("/v2/a/b/blobs/{digest}")).await.expect(StatusCode::OK);
    let part = registry.request(Method::GET, &format!("/v2/a/b/blobs/{digest}")).header(RANGE, "bytes=1000-199999");
    let part = Answer::to(part).await.expect(StatusCode::PARTIAL_CONTENT);
    assert!(part.body == layer.slice(1000..200_000));
    recording.end().await;
}

/// Chunks that no granularity divides.
async fn chunked_push(name: &'static str, granularity: u64) {
    let recording = Recording::begin(name, granularity).await;
    let layer = driver_testsuite::content(2, 230_000);
    let registry = recording.step("an upload begins");
    let location = begin(registry, "").await;
    for start in [0, 70_000, 140_000] {
        recording.step(&format!("70000 bytes from {start} on"));
        patch_at(registry, &location, start, layer.slice(start..start + 70_000)).await.expect(StatusCode::ACCEPTED);
    }
    recording.step("a chunk that does not follow is refused, and the client asks how far it is");
    let refused = patch_at(registry, &location, 5, layer.slice(5..10)).await;
    refused.expect(StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(offset(registry, &location).await, 210_000);
    recording.step("the last bytes come with PUT");
    close(registry, &location, &sha256(&layer), layer.slice(210_000..)).await.expect(StatusCode::CREATED);
    recording.step("an upload whose last chunk comes before PUT");
    let location = begin(registry, "").await;
    let other = driver_testsuite::content(3, 70_000);
    patch_at(registry, &location, 0, other.clone()).await.expect(StatusCode::ACCEPTED);
    close(registry, &location, &sha256(&other), "").await.expect(StatusCode::CREATED);
    recording.end().await;
}

#[tokio::test]
async fn chunked_push_at_any_offset() {
    chunked_push("chunked-push", 1).await;
}

#[tokio::test]
async fn chunked_push_over_small_parts() {
    chunked_push("chunked-push-64k", 64 << 10).await;
}

#[tokio::test]
async fn chunked_push_over_large_parts() {
    chunked_push("chunked-push-64m", 64 << 20).await;
}

#[tokio::test]
async fn two_clients_push_one_layer() {
    let recording = Recording::begin("two-clients-push-one-layer", 1).await;
    let layer = driver_testsuite::content(4, 2 * HALF);
    let digest = sha256(&layer);
    let registry = recording.step("two clients begin an upload each, and send the first half of the same layer");
    let mut clients = Vec::new();
    for _ in 0..2 {
        let location = begin(registry, "").await;
        let due = recording.recorder().written() + HALF as u64;
        let (rest, closing) = open_body(registry, Method::PUT, &format!("{location}?digest={digest}"));
        rest.send(Ok(layer.slice(..HALF))).await.unwrap();
        eventually("the half is written", async || (recording.recorder().written() >= due).then_some(())).await;
        clients.push((location, rest, closing));
    }
    recording.step("one of them sends the rest, and is about to be done when the other sends it too");
    let upload = clients[0].0.rsplit('/').next().unwrap();
    let slow = recording.recorder().hold("Commit", upload);
    let mut closings = Vec::new();
    for (_, rest, closing) in clients {
        rest.send(Ok(layer.slice(HALF..))).await.unwrap();
        drop(rest);
        if closings.is_empty() {
            slow.begun(1).await;
        }
        closings.push(closing);
    }
    let [one, other] = closings.try_into().unwrap();
    other.await.unwrap().expect(StatusCode::CREATED);
    drop(slow);
    one.await.unwrap().expect(StatusCode::CREATED);
    recording.end().await;
}

#[tokio::test]
async fn mount() {
    let recording = Recording::begin("mount", 1).await;
    let layer = driver_testsuite::content(5, 300_000);
    let registry = recording.step("a layer is pushed to one repository");
    let digest = registry.push_blob("from/here", layer).await;
    let mount = |from: &str| format!("/v2/to/there/blobs/uploads/?mount={digest}{from}");
    recording.step("it is mounted in another, from one that has it not, from the one that has it, and from any");
    let location = registry.post(&mount("&from=not/here")).await.expect(StatusCode::ACCEPTED);
    registry.delete(location.header("location")).await.expect(StatusCode::NO_CONTENT);
    registry.post(&mount("&from=from/here")).await.expect(StatusCode::CREATED);
    registry.post(&mount("")).await.expect(StatusCode::CREATED);
    recording.step("it is taken out of the first, and pulled from the other");
    registry.delete(&format!("/v2/from/here/blobs/{digest}")).await.expect(StatusCode::ACCEPTED);
    registry.get(&format!("/v2/from/here/blobs/{digest}")).await.expect(StatusCode::NOT_FOUND);
    registry.get(&format!("/v2/to/there/blobs/{digest}")).await.expect(StatusCode::OK);
    recording.end().await;
}

#[tokio::test]
async fn cancelled_upload_and_purge() {
    let recording = Recording::begin("cancelled-upload-and-purge", 1).await;
    let layer = driver_testsuite::content(6, 2 * HALF);
    let registry = recording.step("a client goes away in the middle of an upload, and what came is kept");
    let location = begin(registry, "").await;
    let (sender, patch) = open_patch(registry, &location);
    sender.send(Ok(layer.slice(..HALF))).await.unwrap();
    eventually("it is written", async || (recording.recorder().written() == HALF as u64).then_some(())).await;
    let saving = recording.recorder().hold("Put", "/hashstates/");
    patch.abort();
    saving.begun(1).await;
    recording.step("it comes back and cancels the upload, and then asks for it");
    drop(saving);
    registry.delete(&location).await.expect(StatusCode::NO_CONTENT);
    registry.get(&location).await.expect(StatusCode::NOT_FOUND);
    recording.step("two uploads are left behind, one with bytes");
    begin(registry, "").await;
    let left = begin(registry, "").await;
    patch_at(registry, &left, 0, layer.slice(..1000)).await.expect(StatusCode::ACCEPTED);
    recording.step("they are purged");
    let purged = recording.run("purge-uploads", &["--older-than", "0s"]).await;
    assert_eq!(purged, "2 of 2 uploads were removed");
    registry.get(&left).await.expect(StatusCode::NOT_FOUND);
    recording.end().await;
}
