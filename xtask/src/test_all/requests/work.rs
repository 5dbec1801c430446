//! The requests that are counted, in the words of the page.

use super::bench::Bench;
use super::image::{Content, Image, REPOSITORY, begin, close, manifest, patch};
use crate::Outcome;
use crate::http::Client;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Of parts of 5 MiB it has two, and something that is none.
const LARGE: usize = 12 * MIB;
const TAGS: usize = 10;

/// What pushes cost.
pub(super) fn push(bench: &mut Bench) -> Outcome {
    let client = &mut bench.renew(false)?;
    let missing = Content::new(KIB);
    bench.count("HEAD of a blob that is not there", || client.ask("HEAD", &missing.target(), 404).map(drop))?;
    for (name, size) in [("1 KiB", KIB), ("12 MiB", LARGE)] {
        let content = Content::new(size);
        bench.count(&format!("push of {name}: POST, PUT"), || content.push(client))?;
    }
    let content = Content::new(LARGE);
    bench.count("push of 12 MiB: POST, PATCH, PUT", || push_in_chunks(client, &content, LARGE))?;
    for chunks in [4, 8] {
        let content = Content::new(LARGE);
        bench.count(&format!("push of 12 MiB: POST, {chunks} PATCHes, PUT"), || {
            push_in_chunks(client, &content, LARGE / chunks)
        })?;
    }
    let mounted = format!("/v2/counted/other/blobs/uploads/?mount={}&from={REPOSITORY}", content.digest);
    bench.count("mount of a blob", || client.ask("POST", &mounted, 201).map(drop))?;
    bench.count("an upload that is cancelled: POST, DELETE", || {
        let location = begin(client)?;
        client.ask("DELETE", &location, 204).map(drop)
    })?;
    let (tagged, untagged) = (Image::new(KIB), Image::new(KIB));
    tagged.push_blobs(client)?;
    untagged.push_blobs(client)?;
    // What was pushed to get here is counted with nothing.
    bench.count("", || Ok(()))?;
    bench.count("PUT of a manifest by tag", || tagged.put(client, "first"))?;
    bench.count("the same again", || tagged.put(client, "first"))?;
    bench.count("PUT of a manifest by digest", || untagged.put(client, &untagged.manifest.digest))
}

fn push_in_chunks(client: &mut Client, content: &Content, chunk: usize) -> Outcome {
    let mut location = begin(client)?;
    for chunk in content.bytes.chunks(chunk) {
        location = patch(client, &location, chunk)?;
    }
    close(client, &location, content, &[])
}

/// What pulls and deletions cost, of a registry that remembers nothing and of one that has just done the same.
pub(super) fn pull(bench: &mut Bench) -> Outcome {
    let client = &mut bench.renew(false)?;
    let images = filled(client, 6)?;
    let client = &mut bench.renew(false)?;
    let by_digest = |image: &Image| manifest(&image.manifest.digest);
    twice(bench, client, "HEAD of a manifest by tag", "HEAD", &manifest("0"), 200)?;
    twice(bench, client, "GET of a manifest by tag", "GET", &manifest("1"), 200)?;
    twice(bench, client, "HEAD of a manifest by digest", "HEAD", &by_digest(&images[2]), 200)?;
    twice(bench, client, "GET of a manifest by digest", "GET", &by_digest(&images[3]), 200)?;
    twice(bench, client, "HEAD of a blob", "HEAD", &images[4].layer.target(), 200)?;
    twice(bench, client, "GET of a blob of 12 MiB", "GET", &images[5].layer.target(), 200)?;
    twice(bench, client, "GET of a blob of 1 KiB", "GET", &images[5].config.target(), 200)?;
    twice(bench, client, "the tags of a repository", "GET", &format!("/v2/{REPOSITORY}/tags/list"), 200)?;
    bench.count("DELETE of a tag", || client.ask("DELETE", &manifest("0"), 202).map(drop))?;
    bench.count("DELETE of a manifest that has a tag, beside ten tags", || {
        client.ask("DELETE", &by_digest(&images[1]), 202).map(drop)
    })?;
    bench.count("DELETE of a blob", || client.ask("DELETE", &images[5].layer.target(), 202).map(drop))
}

/// What is sent to the server instead of being passed on.
pub(super) fn redirect(bench: &mut Bench) -> Outcome {
    let client = &mut bench.renew(false)?;
    let images = filled(client, 2)?;
    let client = &mut bench.renew(true)?;
    twice(bench, client, "HEAD of a blob, with redirects", "HEAD", &images[0].layer.target(), 307)?;
    twice(bench, client, "GET of a blob of 12 MiB, with redirects", "GET", &images[1].layer.target(), 307)
}

fn twice(bench: &mut Bench, client: &mut Client, name: &str, method: &str, target: &str, status: u16) -> Outcome {
    for state in ["cold", "warm"] {
        bench.count(&format!("{name}, {state}"), || client.ask(method, target, status).map(drop))?;
    }
    Ok(())
}

/// Images of large layers, tagged by their numbers, and more tags.
fn filled(client: &mut Client, images: usize) -> Outcome<Vec<Image>> {
    let images: Vec<Image> = std::iter::repeat_with(|| Image::new(LARGE)).take(images).collect();
    for (number, image) in images.iter().enumerate() {
        image.push_blobs(client)?;
        image.put(client, &number.to_string())?;
    }
    let last = images.last().ok_or("no images")?;
    (images.len()..TAGS).try_for_each(|number| last.put(client, &number.to_string()))?;
    Ok(images)
}
