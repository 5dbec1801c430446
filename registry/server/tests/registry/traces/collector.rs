//! Mark and sweep beside a push, as a store sees it: all is walked, each link is read, and what none names is deleted.
//!
//! The registry has no collector: this one is as simple as the two steps are, and knows nothing of age.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use storagedriver_proto::v1alpha1::{DeleteRequest, GetRequest, walk_response};
use tonic::transport::Channel;

use super::Image;
use super::recording::{ROOT, Recording, walk};
use crate::pushing::{begin, close};
use crate::support::sha256;

/// The folders of contents that no link names.
async fn unmarked(store: &mut StorageDriverClient<Channel>, entries: &[walk_response::Entry]) -> Vec<String> {
    let mut marked = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.path.ends_with("/link")) {
        let link = store.get(GetRequest { path: entry.path.clone() }).await.unwrap().into_inner();
        let digest = String::from_utf8(link.content.to_vec()).unwrap();
        let (algorithm, hex) = digest.split_once(':').unwrap();
        marked.insert(format!("{ROOT}/blobs/{algorithm}/{}/{hex}", &hex[..2]));
    }
    let folders = entries.iter().filter_map(|entry| entry.path.strip_suffix("/data"));
    let contents = folders.filter(|folder| folder.starts_with(&format!("{ROOT}/blobs/")));
    contents.filter(|folder| !marked.contains(*folder)).map(str::to_owned).collect()
}

#[tokio::test]
async fn mark_and_sweep_beside_a_push() {
    let recording = Recording::begin("mark-and-sweep-beside-a-push", 1).await;
    let (kept, gone, new) = (Image::number(11), Image::number(12), Image::number(13));
    let registry = recording.step("an image is pushed, and two layers that are taken out again");
    registry.push_blob("a/b", kept.config.clone()).await;
    registry.push_blob("a/b", kept.layer.clone()).await;
    recording.put_image("a/b", "v1", &kept.manifest).await;
    for content in [gone.layer.clone(), gone.config.clone().into()] {
        let digest = registry.push_blob("a/b", content).await;
        registry.delete(&format!("/v2/a/b/blobs/{digest}")).await.expect(StatusCode::ACCEPTED);
    }
    recording.step("all is walked, while another image is pushed");
    let mut store = recording.store().await;
    let walking = recording.recorder().hold("Walk", ROOT);
    let pushing = async {
        walking.begun(1).await;
        registry.push_blob("a/b", new.layer.clone()).await;
        registry.push_blob("a/b", new.config.clone()).await;
        recording.put_image("a/b", "v2", &new.manifest).await;
        drop(walking);
    };
    let (entries, ()) = tokio::join!(walk(&mut store), pushing);
    recording.step("each link is read");
    let unmarked = unmarked(&mut store, &entries).await;
    assert_eq!(unmarked.len(), 2);
    recording.step("what none names is deleted, while one layer is pushed and another pulled");
    for folder in unmarked {
        let deleting = recording.recorder().hold("Delete", &folder);
        let mut store = store.clone();
        let working = async {
            deleting.begun(1).await;
            let location = begin(registry, "").await;
            let content = driver_testsuite::content(14, 5000);
            close(registry, &location, &sha256(&content), content).await.expect(StatusCode::CREATED);
            registry.get(&format!("/v2/a/b/blobs/{}", sha256(&kept.layer))).await.expect(StatusCode::OK);
            drop(deleting);
        };
        let (deleted, ()) = tokio::join!(store.delete(DeleteRequest { path: folder, recursive: true }), working);
        deleted.unwrap();
    }
    recording.end().await;
}
