//! A disk that fills: what is told, what is kept, and what is free again.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use reqwest::{Method, StatusCode};

use crate::images::{OCI_MANIFEST, image, push_blobs};
use crate::pushing::{UPLOADS, assert_stored, begin, close, content, offset, patch_at};
use crate::support::{Answer, Registry, Setup, sha256};

const MEBIBYTE: usize = 1 << 20;

/// A small file system in memory for the store of a registry, unmounted when this is dropped.
struct Disk(Setup);

impl Disk {
    /// Of eight mebibytes.
    fn under(setup: Setup) -> Self {
        std::fs::create_dir(setup.data()).unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(setup.data()).status().unwrap();
        assert!(mounted.success(), "this test needs to be allowed to mount: run it as root");
        Disk(setup)
    }

    fn fill(&self, mebibytes: usize) {
        std::fs::write(self.filler(), vec![1; mebibytes * MEBIBYTE]).unwrap();
    }

    fn make_space(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> std::path::PathBuf {
        self.0.data().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ended_with_the_test = Command::new("umount").arg("--lazy").arg(self.0.data()).status();
    }
}

/// How many bytes are free below `folder`.
fn free(folder: &Path) -> usize {
    let disk = rustix::fs::statvfs(folder).unwrap();
    usize::try_from(disk.f_bavail * disk.f_frsize).unwrap()
}

fn assert_full(answer: Answer) {
    let answer = answer.expect_error(StatusCode::INSUFFICIENT_STORAGE, "UNAVAILABLE");
    assert!(answer.json()["errors"][0]["message"].as_str().unwrap().contains("full"), "{}", answer.json());
}

async fn post(registry: &Registry, content: &Bytes) -> Answer {
    let location = format!("{UPLOADS}?digest={}", sha256(content));
    Answer::to(registry.request(Method::POST, &location).body(content.clone())).await
}

#[tokio::test]
async fn a_push_that_does_not_fit_is_refused_and_leaves_no_byte() {
    let disk = Disk::under(Setup::filesystem());
    let registry = disk.0.start().await;
    let (kept, large) = (content(MEBIBYTE), content(12 * MEBIBYTE));
    let digest = registry.push_blob("a/b", kept.clone()).await;
    push_blobs(&registry, "a/b").await;
    let before = free(&disk.0.data());
    for _ in 0..2 {
        assert_full(post(&registry, &large).await);
        let location = begin(&registry, "").await;
        assert_full(registry.patch(&location, large.clone()).await);
        assert_eq!(offset(&registry, &location).await, 0);
        assert_full(close(&registry, &location, &sha256(&large), large.clone()).await);
    }
    disk.fill(5);
    let manifest = image(serde_json::json!({ "annotations": { "large": "x".repeat(3_000_000) } }));
    assert_full(registry.put_manifest("a/b", "v1", OCI_MANIFEST, manifest).await);
    disk.make_space();
    assert!(free(&disk.0.data()) > before - MEBIBYTE / 4, "{} of {before} are left", free(&disk.0.data()));
    registry.get("/v2/a/b/manifests/v1").await.expect(StatusCode::NOT_FOUND);
    assert_stored(&registry, &digest, &kept).await;
    post(&registry, &content(6 * MEBIBYTE)).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn an_upload_that_met_a_full_disk_goes_on_where_it_was_when_there_is_space() {
    for setup in [Setup::filesystem(), Setup::filesystem().set("storage.filesystem.shared", "true")] {
        let disk = Disk::under(setup);
        let registry = disk.0.start().await;
        disk.fill(2);
        let content = content(6 * MEBIBYTE);
        let location = begin(&registry, "").await;
        patch_at(&registry, &location, 0, content.slice(..MEBIBYTE)).await.expect(StatusCode::ACCEPTED);
        assert_full(patch_at(&registry, &location, MEBIBYTE, content.slice(MEBIBYTE..)).await);
        assert_eq!(offset(&registry, &location).await, MEBIBYTE);
        // It takes what the refused bytes would have kept.
        post(&registry, &content.slice(..4 * MEBIBYTE)).await.expect(StatusCode::CREATED);
        std::fs::remove_dir_all(disk.0.data().join("docker/registry/v2/blobs")).unwrap();
        disk.make_space();
        patch_at(&registry, &location, MEBIBYTE, content.slice(MEBIBYTE..)).await.expect(StatusCode::ACCEPTED);
        close(&registry, &location, &sha256(&content), "").await.expect(StatusCode::CREATED);
        assert_stored(&registry, &sha256(&content), &content).await;
    }
}

#[tokio::test]
async fn an_upload_in_a_shared_store_can_be_closed_after_the_store_failed_its_closing() {
    let disk = Disk::under(Setup::filesystem().set("storage.filesystem.shared", "true"));
    let replicas = [disk.0.start().await, disk.0.start().await];
    disk.fill(4);
    let (content, other) = (content(6 * MEBIBYTE), content(5 * MEBIBYTE));
    let mut uploads = Vec::new();
    for content in [&content, &other] {
        let location = begin(&replicas[0], "").await;
        let digest = sha256(content);
        patch_at(&replicas[0], &location, 0, content.slice(..1000)).await.expect(StatusCode::ACCEPTED);
        assert_full(close(&replicas[0], &location, &digest, content.slice(1000..)).await);
        close(&replicas[1], &location, &digest, content.slice(1000..)).await.expect(StatusCode::CONFLICT);
        uploads.push((location, digest));
    }
    disk.make_space();
    // The same replica lets the client wait, another one has it come again.
    let (location, digest) = &uploads[0];
    close(&replicas[0], location, digest, content.slice(1000..)).await.expect(StatusCode::CREATED);
    assert_stored(&replicas[1], digest, &content).await;
    std::fs::remove_dir_all(disk.0.data().join("docker/registry/v2/blobs")).unwrap();
    let (location, digest) = &uploads[1];
    crate::support::eventually("the other can be closed", async || {
        let closed = close(&replicas[1], location, digest, other.slice(1000..)).await;
        (closed.status == StatusCode::CREATED).then_some(())
    })
    .await;
    assert_stored(&replicas[0], digest, &other).await;
}
