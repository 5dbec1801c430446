//! Small images and large blobs to push, of which no two are alike.

use sha2::{Digest, Sha256};

use crate::Outcome;
use crate::http::{Body, Client};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const REPOSITORY: &str = "counted/image";

/// Bytes and their digest.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: String,
}

impl Content {
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Content { bytes, digest: format!("sha256:{hex}") }
    }

    /// `length` bytes that nobody has pushed before.
    pub(super) fn new(length: usize) -> Self {
        Self::of(std::iter::repeat_with(rand::random::<u8>).take(length).collect())
    }

    pub(super) fn target(&self) -> String {
        format!("/v2/{REPOSITORY}/blobs/{}", self.digest)
    }

    /// A POST, and a PUT with all of it.
    pub(super) fn push(&self, client: &mut Client) -> Outcome {
        let location = begin(client)?;
        close(client, &location, self, &self.bytes)
    }
}

/// An image of one config and one layer.
pub(super) struct Image {
    pub(super) config: Content,
    pub(super) layer: Content,
    pub(super) manifest: Content,
}

impl Image {
    pub(super) fn new(layer: usize) -> Self {
        let number: u64 = rand::random();
        let config = Content::of(format!(r#"{{"architecture":"amd64","os":"linux","number":{number}}}"#).into_bytes());
        let layer = Content::new(layer);
        let described = |kind: &str, content: &Content| {
            let (digest, size) = (&content.digest, content.bytes.len());
            format!(r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{size}}}"#)
        };
        let (first, second) = (described("config.v1+json", &config), described("layer.v1.tar", &layer));
        let manifest =
            format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{first},"layers":[{second}]}}"#);
        Image { config, layer, manifest: Content::of(manifest.into_bytes()) }
    }

    pub(super) fn push_blobs(&self, client: &mut Client) -> Outcome {
        self.config.push(client)?;
        self.layer.push(client)
    }

    pub(super) fn put(&self, client: &mut Client, reference: &str) -> Outcome {
        let body = Body { length: self.manifest.bytes.len() as u64, content_type: Some(MANIFEST), ..Body::default() };
        let pieces = [self.manifest.bytes.as_slice()];
        client.give(("PUT", &manifest(reference)), &body, pieces, 201).map(drop)
    }
}

pub(super) fn manifest(reference: &str) -> String {
    format!("/v2/{REPOSITORY}/manifests/{reference}")
}

/// Begins an upload; where it goes on.
pub(super) fn begin(client: &mut Client) -> Outcome<String> {
    Ok(client.ask("POST", &format!("/v2/{REPOSITORY}/blobs/uploads/"), 202)?.location)
}

/// Sends a chunk of an upload; where it goes on.
pub(super) fn patch(client: &mut Client, location: &str, chunk: &[u8]) -> Outcome<String> {
    let body = Body { length: chunk.len() as u64, ..Body::default() };
    Ok(client.give(("PATCH", location), &body, [chunk], 202)?.location)
}

/// Closes an upload with the last bytes of its content.
pub(super) fn close(client: &mut Client, location: &str, content: &Content, last: &[u8]) -> Outcome {
    let separator = if location.contains('?') { '&' } else { '?' };
    let target = format!("{location}{separator}digest={}", content.digest);
    let body = Body { length: last.len() as u64, ..Body::default() };
    client.give(("PUT", &target), &body, [last], 201).map(drop)
}
