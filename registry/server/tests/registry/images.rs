//! Manifests for tests: the least that a registry takes, with whatever a test wants to be different.

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::pushing::setups;
use crate::support::{Registry, Setup, sha256};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

const CONFIG: &str = "{}";
const LAYER: &str = "a layer";

/// One registry on each embedded driver.
pub(crate) async fn registries() -> Vec<Registry> {
    join_all(setups().iter().map(Setup::start)).await
}

/// What a manifest says of one thing that it names.
pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(content), "size": content.len() })
}

/// An image whose blobs [`push_blobs`] pushes. `fields` are added, or replace others; null takes a field away.
pub(crate) fn image(fields: Value) -> Vec<u8> {
    let layers = json!([descriptor(OCI_LAYER, LAYER.as_bytes())]);
    let config = descriptor(OCI_CONFIG, CONFIG.as_bytes());
    let image = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers });
    with(image, fields)
}

/// An index of images.
pub(crate) fn index(children: &[Vec<u8>], fields: Value) -> Vec<u8> {
    let children: Vec<Value> = children.iter().map(|child| descriptor(OCI_MANIFEST, child)).collect();
    with(json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children }), fields)
}

fn with(mut manifest: Value, fields: Value) -> Vec<u8> {
    let Value::Object(fields) = fields else { panic!("fields come in an object: {fields}") };
    let entries = manifest.as_object_mut().unwrap();
    entries.extend(fields);
    entries.retain(|_, value| !value.is_null());
    manifest.to_string().into_bytes()
}

/// Pushes what every [`image`] names.
pub(crate) async fn push_blobs(registry: &Registry, repository: &str) {
    registry.push_blob(repository, CONFIG).await;
    registry.push_blob(repository, LAYER).await;
}

/// Pushes a manifest by digest, or by tag, with the type that it says it has; gives its digest.
pub(crate) async fn push(registry: &Registry, repository: &str, tag: Option<&str>, manifest: &[u8]) -> String {
    let media_type = serde_json::from_slice::<Value>(manifest).unwrap()["mediaType"].as_str().unwrap().to_owned();
    let digest = sha256(manifest);
    let answer = registry.put_manifest(repository, tag.unwrap_or(&digest), &media_type, manifest.to_vec()).await;
    answer.expect(StatusCode::CREATED);
    digest
}

/// A registry is often asked for images that differ and for nothing else of them.
pub(crate) fn image_number(number: usize) -> Vec<u8> {
    image(json!({ "annotations": { "number": number.to_string() } }))
}

/// Follows `Link` from `location` to the last page; gives the JSON of each page.
pub(crate) async fn pages(registry: &Registry, location: &str) -> Vec<Value> {
    let mut pages = Vec::new();
    let mut next = Some(location.to_owned());
    while let Some(location) = next {
        assert!(pages.len() < 100, "the pages should end: {location}");
        let answer = registry.get(&location).await.expect(StatusCode::OK);
        next = next_page(answer.header("link"));
        pages.push(answer.json());
    }
    pages
}

/// The URL in a `Link` to a next page.
pub(crate) fn next_page(link: &str) -> Option<String> {
    let (url, rest) = link.strip_prefix('<')?.split_once('>')?;
    assert_eq!(rest, "; rel=\"next\"");
    Some(url.to_owned())
}
