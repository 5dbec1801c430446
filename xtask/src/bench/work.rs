//! The rows of the table: what is asked of a registry, over and over.
//!
//! It must not know which registry it is.

use std::thread;

use serde_json::json;

use super::content::{Content, Source};
use crate::Outcome;
use crate::http::{Body, Client};

/// One kind of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, serde::Serialize)]
pub(super) enum Work {
    PullBlob,
    PushBlob,
    PushChunked,
    GetManifest,
    GetSmallBlob,
    PushImage,
    ListTags,
}

pub(super) const ALL: [Work; 7] = [
    Work::PullBlob,
    Work::PushBlob,
    Work::PushChunked,
    Work::GetManifest,
    Work::GetSmallBlob,
    Work::PushImage,
    Work::ListTags,
];

const REPOSITORY: &str = "bench/work";
/// Images are pushed elsewhere, so that the list of tags stays as long as it is.
const IMAGES: &str = "bench/images";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const TAGS: usize = 1000;
const PAGE: usize = 100;
/// Blocks of 256 KiB in one chunk.
const CHUNK_BLOCKS: usize = 64;
const SMALL: u64 = 4 << 10;
const LAYERS: usize = 3;
const PUSHERS: usize = 8;

impl Work {
    pub(super) fn title(self, large_mib: u64) -> String {
        match self {
            Work::PullBlob => format!("pull of a {large_mib} MiB blob"),
            Work::PushBlob => format!("push of {large_mib} MiB, one PUT"),
            Work::PushChunked => format!("push of {large_mib} MiB, PATCHes of 16 MiB"),
            Work::GetManifest => "GET of a manifest by tag".to_owned(),
            Work::GetSmallBlob => "GET of a 4 KiB blob".to_owned(),
            Work::PushImage => "push of a small image (4 blobs, manifest)".to_owned(),
            Work::ListTags => format!("page of {PAGE} of {TAGS} tags"),
        }
    }

    /// It moves bytes, and is counted by them.
    pub(super) fn is_bulk(self) -> bool {
        matches!(self, Work::PullBlob | Work::PushBlob | Work::PushChunked)
    }

    /// How often it is done at most in one turn: what is pushed stays in the store.
    pub(super) fn steps_max(self) -> u64 {
        if matches!(self, Work::PushBlob | Work::PushChunked) { 12 } else { u64::MAX }
    }

    /// What the design allows the tree of processes, in CPU-ms for a MiB of bulk, else in CPU-ms for one.
    pub(super) fn budget(self) -> f64 {
        match self {
            Work::PullBlob => 0.20,
            Work::PushBlob => 1.3,
            Work::PushChunked => 1.4,
            Work::GetManifest | Work::GetSmallBlob => 0.060,
            Work::PushImage => 4.0,
            Work::ListTags => 0.300,
        }
    }
}

/// Contents of the two sizes, and a registry's names for those that are pulled.
pub(super) struct Ground {
    large: Source,
    small: Source,
    large_digest: String,
    small_digest: String,
}

impl Ground {
    /// Pushes what is pulled and listed later.
    pub(super) fn prepare(address: &str, large_mib: u64, wanted: &[Work]) -> Outcome<Ground> {
        let (large, small) = (Source::new(large_mib << 20), Source::new(SMALL));
        let client = &mut Client::open(address)?;
        let large_digest = if wanted.contains(&Work::PullBlob) {
            let blob = large.make();
            push_blob(client, REPOSITORY, &blob)?;
            blob.digest
        } else {
            String::new()
        };
        let small_blob = small.make();
        push_blob(client, REPOSITORY, &small_blob)?;
        let manifest = push_layers(client, REPOSITORY, &small)?;
        let tags = if wanted.contains(&Work::ListTags) { TAGS } else { 1 };
        push_tags(address, &manifest, tags)?;
        let small_digest = small_blob.digest;
        Ok(Ground { large, small, large_digest, small_digest })
    }

    /// Does `work` once; `number` tells the times apart.
    pub(super) fn step(&self, work: Work, client: &mut Client, number: u64) -> Outcome {
        match work {
            Work::PullBlob => self.pull(client, &self.large_digest, self.large.size()),
            Work::PushBlob => push_blob(client, REPOSITORY, &self.large.make()),
            Work::PushChunked => push_chunked(client, &self.large.make()),
            Work::GetManifest => client.get(&format!("/v2/{REPOSITORY}/manifests/{}", tag(0)), 200).map(drop),
            Work::GetSmallBlob => self.pull(client, &self.small_digest, SMALL),
            Work::PushImage => {
                let manifest = push_layers(client, IMAGES, &self.small)?;
                push_manifest(client, IMAGES, &manifest, &format!("pushed-{number}"))
            }
            Work::ListTags => {
                let last = tag(number as usize * 37 % (TAGS - PAGE));
                client.get(&format!("/v2/{REPOSITORY}/tags/list?n={PAGE}&last={last}"), 200).map(drop)
            }
        }
    }

    fn pull(&self, client: &mut Client, digest: &str, size: u64) -> Outcome {
        let answer = client.get(&format!("/v2/{REPOSITORY}/blobs/{digest}"), 200)?;
        if answer.length == size { Ok(()) } else { Err(format!("{} bytes instead of {size}", answer.length).into()) }
    }
}

/// Pushes a manifest under many tags, several at once.
fn push_tags(address: &str, manifest: &str, tags: usize) -> Outcome {
    let one = |first: usize| -> Result<(), String> {
        let mut client = Client::open(address).map_err(|problem| problem.to_string())?;
        let mut numbers = (first..tags).step_by(PUSHERS);
        let push = |number| push_manifest(&mut client, REPOSITORY, manifest, &tag(number));
        numbers.try_for_each(push).map_err(|problem| problem.to_string())
    };
    let outcomes: Vec<_> = thread::scope(|scope| {
        let pushers: Vec<_> = (0..PUSHERS).map(|first| scope.spawn(move || one(first))).collect();
        pushers.into_iter().map(|pusher| pusher.join().unwrap_or_else(|_| Err("a client panicked".into()))).collect()
    });
    Ok(outcomes.into_iter().collect::<Result<(), String>>()?)
}

fn tag(number: usize) -> String {
    format!("v{number:04}")
}

/// A POST, and a PUT with all of it, as containerd does.
fn push_blob(client: &mut Client, repository: &str, blob: &Content<'_>) -> Outcome {
    let location = begin(client, repository)?;
    let body = Body { length: blob.length(), ..Body::default() };
    client.give(("PUT", &closing(&location, blob)), &body, blob.pieces(), 201).map(drop)
}

fn push_chunked(client: &mut Client, blob: &Content<'_>) -> Outcome {
    let (mut location, mut offset) = (begin(client, REPOSITORY)?, 0);
    for chunk in blob.chunks(CHUNK_BLOCKS) {
        let length: u64 = chunk.iter().map(|piece| piece.len() as u64).sum();
        let body = Body { length, range: Some((offset, offset + length - 1)), ..Body::default() };
        location = client.give(("PATCH", &location), &body, chunk, 202)?.location;
        offset += length;
    }
    client.ask("PUT", &closing(&location, blob), 201).map(drop)
}

fn begin(client: &mut Client, repository: &str) -> Outcome<String> {
    Ok(client.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), 202)?.location)
}

fn closing(location: &str, blob: &Content<'_>) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={}", blob.digest)
}

/// Pushes a configuration and some layers, each asked for first as clients do, and gives the manifest that names them.
fn push_layers(client: &mut Client, repository: &str, source: &Source) -> Outcome<String> {
    let mut blobs = Vec::new();
    for _ in 0..=LAYERS {
        let blob = source.make();
        client.ask("HEAD", &format!("/v2/{repository}/blobs/{}", blob.digest), 404)?;
        push_blob(client, repository, &blob)?;
        blobs.push(blob.digest);
    }
    let descriptor =
        |media_type: &str, digest: &String| json!({ "mediaType": media_type, "digest": digest, "size": SMALL });
    let layers: Vec<_> = blobs.iter().skip(1).map(|digest| descriptor(LAYER_TYPE, digest)).collect();
    let config = descriptor(CONFIG_TYPE, &blobs[0]);
    Ok(json!({ "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers }).to_string())
}

fn push_manifest(client: &mut Client, repository: &str, manifest: &str, tag: &str) -> Outcome {
    let target = format!("/v2/{repository}/manifests/{tag}");
    let body = Body { length: manifest.len() as u64, content_type: Some(MANIFEST_TYPE), range: None };
    client.give(("PUT", &target), &body, [manifest.as_bytes()], 201).map(drop)
}
