//! Tags that move, and what is listed and deleted.

use reqwest::StatusCode;
use serde_json::json;

use super::Image;
use super::recording::Recording;
use crate::images::{OCI_MANIFEST, descriptor, image, index, pages};
use crate::support::sha256;

async fn push_all(recording: &Recording, repository: &str, tag: &str, image: &Image) -> String {
    recording.registry().push_blob(repository, image.config.clone()).await;
    recording.registry().push_blob(repository, image.layer.clone()).await;
    recording.put_image(repository, tag, &image.manifest).await
}

#[tokio::test]
async fn tag_moved_under_readers() {
    let recording = Recording::begin("tag-moved-under-readers", 1).await;
    let images = [7, 8].map(Image::number);
    recording.step("two images are pushed under one tag, one after the other");
    for image in &images {
        push_all(&recording, "a/b", "latest", image).await;
    }
    for round in 0..4 {
        let registry = recording.step("the tag is moved back, while clients pull by it");
        let moving = recording.recorder().hold("Put", "/latest/current/");
        let reading = async {
            moving.begun(1).await;
            for _ in 0..2 {
                let seen = registry.get("/v2/a/b/manifests/latest").await.expect(StatusCode::OK);
                assert!(images.iter().any(|image| image.manifest == seen.body));
            }
            registry.head("/v2/a/b/manifests/latest").await.expect(StatusCode::OK);
            drop(moving);
        };
        let image = &images[round % 2];
        tokio::join!(recording.put_image("a/b", "latest", &image.manifest), reading);
        let now = registry.get("/v2/a/b/manifests/latest").await.expect(StatusCode::OK);
        assert!(now.body == image.manifest);
    }
    recording.end().await;
}

#[tokio::test]
async fn delete_and_list() {
    let recording = Recording::begin("delete-and-list", 1).await;
    let (one, other) = (Image::number(9), Image::number(10));
    recording.step("two images are pushed, one under two tags, and to another repository");
    let revision = push_all(&recording, "a/b", "v1", &one).await;
    recording.put_image("a/b", "v1.0", &one.manifest).await;
    push_all(&recording, "a/b", "v2", &other).await;
    push_all(&recording, "a/b/c", "v1", &one).await;
    recording.step("a signature and an index refer to the first");
    let subject = descriptor(OCI_MANIFEST, &one.manifest);
    let config = descriptor("application/vnd.oci.image.config.v1+json", &one.config);
    let layers = json!([descriptor("application/octet-stream", &one.layer)]);
    let signature =
        image(json!({ "subject": subject, "config": config, "layers": layers, "artifactType": "a/signature" }));
    let signature = recording.put_image("a/b", &sha256(&signature), &signature).await;
    let registry = recording.registry();
    let list = index(std::slice::from_ref(&one.manifest), json!({}));
    registry.put_manifest("a/b", "all", crate::images::OCI_INDEX, list).await.expect(StatusCode::CREATED);
    recording.step("tags are listed in pages, then the catalog and the referrers");
    pages(registry, "/v2/a/b/tags/list?n=2").await;
    pages(registry, "/v2/_catalog?n=1").await;
    let referrers = format!("/v2/a/b/referrers/{revision}");
    assert_eq!(registry.get(&referrers).await.json()["manifests"][0]["digest"], signature);
    recording.step("a tag is deleted, and a tag that is not there");
    registry.delete("/v2/a/b/manifests/all").await.expect(StatusCode::ACCEPTED);
    registry.delete("/v2/a/b/manifests/v2").await.expect(StatusCode::ACCEPTED);
    registry.delete("/v2/a/b/manifests/v1.0").await.expect(StatusCode::ACCEPTED);
    registry.delete("/v2/a/b/manifests/v2").await.expect(StatusCode::NOT_FOUND);
    recording.step("the signature is deleted by its digest, and then the image with its last tag");
    registry.delete(&format!("/v2/a/b/manifests/{signature}")).await.expect(StatusCode::ACCEPTED);
    assert_eq!(registry.get(&referrers).await.json()["manifests"], json!([]));
    registry.delete(&format!("/v2/a/b/manifests/{revision}")).await.expect(StatusCode::ACCEPTED);
    registry.get("/v2/a/b/manifests/v1").await.expect(StatusCode::NOT_FOUND);
    recording.step("a layer is deleted, and stays in the other repository");
    let layer = sha256(&one.layer);
    registry.delete(&format!("/v2/a/b/blobs/{layer}")).await.expect(StatusCode::ACCEPTED);
    registry.get(&format!("/v2/a/b/blobs/{layer}")).await.expect(StatusCode::NOT_FOUND);
    registry.get(&format!("/v2/a/b/c/blobs/{layer}")).await.expect(StatusCode::OK);
    recording.step("tags and catalog are listed again");
    pages(registry, "/v2/a/b/tags/list").await;
    pages(registry, "/v2/_catalog").await;
    recording.end().await;
}
