//! A store as distribution writes it, which the registry reads as it is.

use bytes::Bytes;
use reqwest::header::RANGE;
use reqwest::{Method, StatusCode};
use serde_json::json;
use storagedriver_proto::v1alpha1::write_request::{Flush, Kind, Open};
use storagedriver_proto::v1alpha1::{CommitRequest, PutRequest, WriteRequest};

use super::recording::{ROOT, Recording};
use crate::images::{DOCKER_MANIFEST, descriptor, image, pages};
use crate::pushing::sha512;
use crate::support::{Answer, sha256};

const REPOSITORY: &str = "library/os";
const UPLOAD: &str = "0198c0de-0000-7000-8000-000000000001";

/// What distribution has written.
struct Foreign {
    config: Vec<u8>,
    layer: Bytes,
    manifest: Vec<u8>,
    older: Vec<u8>,
}

impl Foreign {
    fn new() -> Self {
        let config = br#"{"architecture":"arm64","os":"linux"}"#.to_vec();
        let layer = driver_testsuite::content(15, 1_500_000);
        let manifest = |number: u32| {
            let layers = json!([descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer)]);
            let config = descriptor("application/vnd.docker.container.image.v1+json", &config);
            let annotations = json!({ "number": number.to_string() });
            image(json!({
                "mediaType": DOCKER_MANIFEST, "config": config, "layers": layers, "annotations": annotations,
            }))
        };
        Foreign { manifest: manifest(2), older: manifest(1), config, layer }
    }

    /// The small files, each with its path below the root.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let repository = format!("repositories/{REPOSITORY}");
        let upload = format!("{repository}/_uploads/{UPLOAD}");
        let mut files = vec![
            (format!("{upload}/startedat"), b"2024-05-06T07:08:09Z".to_vec()),
            (format!("{upload}/data"), b"as far as it came".to_vec()),
        ];
        files.extend([&self.config, &self.manifest, &self.older].map(|content| (blob(content), content.clone())));
        for (content, algorithm_and_hex) in [
            (&self.layer[..], sha256(&self.layer)),
            (&self.config, sha256(&self.config)),
            // So it links what was asked for by another algorithm than its own.
            (&self.layer, sha512(&self.layer)),
        ] {
            files.push((format!("{repository}/_layers/{}/link", flat(&algorithm_and_hex)), sha256(content).into()));
        }
        for revision in [&self.manifest, &self.older].map(|content| sha256(content)) {
            let manifests = format!("{repository}/_manifests");
            let (in_index, in_all) =
                (format!("tags/v1/index/{}", flat(&revision)), format!("revisions/{}", flat(&revision)));
            files
                .extend([in_index, in_all].map(|place| (format!("{manifests}/{place}/link"), revision.clone().into())));
        }
        files.push((format!("{repository}/_manifests/tags/v1/current/link"), sha256(&self.manifest).into()));
        files
    }
}

fn flat(digest: &str) -> String {
    digest.replace(':', "/")
}

fn blob(content: &[u8]) -> String {
    let digest = sha256(content);
    let hex = digest.strip_prefix("sha256:").unwrap();
    format!("blobs/sha256/{}/{hex}/data", &hex[..2])
}

/// Puts the store there as it is, with no registry.
async fn fill(recording: &Recording, foreign: &Foreign) {
    let mut store = recording.store().await;
    for (path, content) in foreign.files() {
        let path = format!("{ROOT}/{path}");
        store.put(PutRequest { path, content: content.into(), if_absent: false }).await.unwrap();
    }
    let (path, target) = (format!("{ROOT}/staging"), format!("{ROOT}/{}", blob(&foreign.layer)));
    let open = Kind::Open(Open { path: path.clone(), offset: 0, target: target.clone() });
    let pieces = foreign.layer.chunks(256 << 10).map(|piece| Kind::Data(foreign.layer.slice_ref(piece)));
    let kinds: Vec<Kind> = std::iter::once(open).chain(pieces).chain([Kind::Flush(Flush {})]).collect();
    let requests = futures::stream::iter(kinds.into_iter().map(|kind| WriteRequest { kind: Some(kind) }));
    // The stream stays open until the commit, as the contract asks for where parts are large.
    let requests = futures::StreamExt::chain(requests, futures::stream::pending());
    let mut answers = store.write(requests).await.unwrap().into_inner();
    while !answers.message().await.unwrap().unwrap().flushed {}
    let size = foreign.layer.len() as u64;
    store.commit(CommitRequest { path, target, size, if_absent: false }).await.unwrap();
}

#[tokio::test]
async fn store_of_distribution() {
    let recording = Recording::begin("store-of-distribution", 1).await;
    let foreign = Foreign::new();
    recording.step("a store is there as distribution wrote it");
    fill(&recording, &foreign).await;
    recording.look_at_everything().await;
    let registry = recording.step("clients list and pull everything");
    pages(registry, "/v2/_catalog").await;
    pages(registry, "/v2/library/os/tags/list").await;
    let manifest = registry.get("/v2/library/os/manifests/v1").await.expect(StatusCode::OK);
    assert!(manifest.body == foreign.manifest && manifest.header("content-type") == DOCKER_MANIFEST);
    let older = format!("/v2/library/os/manifests/{}", sha256(&foreign.older));
    assert!(registry.get(&older).await.expect(StatusCode::OK).body == foreign.older);
    let blob = |digest: String| format!("/v2/library/os/blobs/{digest}");
    registry.head(&blob(sha256(&foreign.layer))).await.expect(StatusCode::OK);
    for (digest, content) in [
        (sha256(&foreign.layer), &foreign.layer[..]),
        (sha512(&foreign.layer), &foreign.layer),
        (sha256(&foreign.config), &foreign.config),
    ] {
        assert!(registry.get(&blob(digest)).await.expect(StatusCode::OK).body == content);
    }
    let end = registry.request(Method::GET, &blob(sha256(&foreign.layer))).header(RANGE, "bytes=-1000");
    assert!(Answer::to(end).await.expect(StatusCode::PARTIAL_CONTENT).body == foreign.layer[1_499_000..]);
    registry.get(&format!("/v2/library/os/referrers/{}", sha256(&foreign.manifest))).await.expect(StatusCode::OK);
    registry.get("/v2/library/os/manifests/v2").await.expect(StatusCode::NOT_FOUND);
    recording.end().await;
}
