//! What tests of blobs and uploads have in common: content, the ways to push it, and a look into the store.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Body, Method, StatusCode};
use sha2::{Digest, Sha512};

use crate::support::{Answer, Registry, Setup};

/// Content in which every place looks different.
pub(crate) fn content(length: usize) -> Bytes {
    (0..length).map(|at| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[at % 3]).collect()
}

/// Both embedded drivers.
pub(crate) fn setups() -> [Setup; 2] {
    [Setup::filesystem(), Setup::memory()]
}

pub(crate) const UPLOADS: &str = "/v2/a/b/blobs/uploads/";

pub(crate) fn sha512(content: &[u8]) -> String {
    let hex: String = Sha512::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha512:{hex}")
}

/// Begins an upload; gives its location.
pub(crate) async fn begin(registry: &Registry, query: &str) -> String {
    let answer = registry.post(&format!("{UPLOADS}{query}")).await.expect(StatusCode::ACCEPTED);
    let location = answer.header("location").to_owned();
    assert!(location.ends_with(answer.header("docker-upload-uuid")) && answer.header("docker-upload-uuid").len() == 36);
    location
}

pub(crate) async fn patch_at(registry: &Registry, location: &str, start: usize, chunk: Bytes) -> Answer {
    let range = format!("{start}-{}", start + chunk.len() - 1);
    Answer::to(registry.request(Method::PATCH, location).header(CONTENT_RANGE, range).body(chunk)).await
}

pub(crate) async fn close(registry: &Registry, location: &str, digest: &str, last: impl Into<Bytes>) -> Answer {
    registry.put(&format!("{location}?digest={digest}"), last).await
}

/// The offset at which the registry says that the upload continues.
pub(crate) async fn offset(registry: &Registry, location: &str) -> usize {
    let answer = registry.get(location).await.expect(StatusCode::NO_CONTENT);
    let last: usize = answer.header("range").strip_prefix("0-").unwrap().parse().unwrap();
    if last == 0 { 0 } else { last + 1 }
}

pub(crate) async fn assert_stored(registry: &Registry, digest: &str, content: &Bytes) {
    let answer = registry.get(&format!("/v2/a/b/blobs/{digest}")).await.expect(StatusCode::OK);
    assert!(answer.body == content, "other bytes than those pushed");
    assert_eq!(answer.header("docker-content-digest"), digest);
}

/// The files of the store, below its root.
pub(crate) fn files(setup: &Setup) -> Vec<PathBuf> {
    fn visit(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { visit(&path, files) } else { files.push(path) }
        }
    }
    let (root, mut files) = (setup.data().join("docker/registry/v2"), Vec::new());
    visit(&root, &mut files);
    files.sort();
    files.into_iter().map(|path| path.strip_prefix(&root).unwrap().to_owned()).collect()
}

/// The ways in which clients push.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Post,
    PostPut,
    PatchPut,
    Patches,
    PatchesAndLast,
    Streamed,
}

pub(crate) const WAYS: [Way; 6] =
    [Way::Post, Way::PostPut, Way::PatchPut, Way::Patches, Way::PatchesAndLast, Way::Streamed];

/// Pushes `content` as `digest`; gives the last answer and the location of the upload.
pub(crate) async fn push(
    registry: &Registry,
    way: Way,
    query: &str,
    digest: &str,
    content: &Bytes,
) -> (Answer, String) {
    if let Way::Post = way {
        let request = registry.request(Method::POST, &format!("{UPLOADS}?digest={digest}")).body(content.clone());
        return (Answer::to(request).await, String::new());
    }
    let location = begin(registry, query).await;
    let third = content.len() / 3 + 1;
    let patched = match way {
        Way::Post | Way::PostPut => 0,
        Way::PatchPut | Way::Streamed => content.len(),
        Way::Patches => third * 3,
        Way::PatchesAndLast => third * 2,
    };
    let patched = patched.min(content.len());
    match way {
        Way::Streamed => {
            let pieces: Vec<_> =
                content.chunks(1000).map(|piece| Ok::<_, std::io::Error>(content.slice_ref(piece))).collect();
            let body = Body::wrap_stream(futures::stream::iter(pieces));
            let answer = Answer::to(registry.request(Method::PATCH, &location).body(body)).await;
            answer.expect(StatusCode::ACCEPTED);
        }
        Way::PatchPut => drop(registry.patch(&location, content.clone()).await.expect(StatusCode::ACCEPTED)),
        _ => {
            for start in (0..patched).step_by(third) {
                let end = (start + third).min(patched);
                let answer = patch_at(registry, &location, start, content.slice(start..end)).await;
                let answer = answer.expect(StatusCode::ACCEPTED);
                assert_eq!(
                    (answer.header("range"), answer.header("location")),
                    (&*format!("0-{}", end - 1), &*location)
                );
            }
        }
    }
    (close(registry, &location, digest, content.slice(patched..)).await, location)
}
