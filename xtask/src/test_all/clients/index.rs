//! What plain `docker push` does not make: an index of several platforms, each with an attestation.

use std::path::Path;

use serde::Deserialize;

use super::{Bench, skopeo};
use crate::Outcome;
use crate::test_all::buildkit::BuildKit;

const RECIPE: &str = "FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /recipe\nENV ARCHITECTURE=$TARGETARCH\n";
const PLATFORMS: usize = 2;

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Manifest>,
}

#[derive(Deserialize)]
struct Manifest {
    platform: Platform,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
}

/// BuildKit pushes the index, skopeo copies all of it out, in and out again, and docker finds its platform in the copy.
pub(super) fn push(bench: &Bench) -> Outcome<String> {
    let reference = format!("{}/multi/platform:1", bench.registry.address);
    let context = bench.workshop.folder("context")?;
    std::fs::write(context.join("Dockerfile"), RECIPE)?;
    build(bench, &context, &reference)?;
    let copy = skopeo::round_trip(bench, &reference)?;
    bench.docker.run(&["pull", &format!("{reference}-copied")])?;
    describe(&std::fs::read(copy.join("manifest.json"))?)
}

fn build(bench: &Bench, context: &Path, reference: &str) -> Outcome {
    let context = context.display();
    let words = [
        &format!("--local=context={context}"),
        &format!("--local=dockerfile={context}"),
        "--opt=platform=linux/amd64,linux/arm64",
        "--opt=attest:provenance=mode=max",
    ];
    BuildKit::start(bench.workshop)?.build_and_push(&words, reference)?;
    Ok(())
}

/// An attestation stands in an index as a manifest of an unknown platform.
fn describe(index: &[u8]) -> Outcome<String> {
    let index: Index = serde_json::from_slice(index)?;
    let (attestations, images): (Vec<_>, Vec<_>) =
        index.manifests.iter().partition(|manifest| manifest.platform.architecture == "unknown");
    let found = format!("{} platforms, {} attestations", images.len(), attestations.len());
    if images.len() == PLATFORMS && attestations.len() == PLATFORMS { Ok(found) } else { Err(found.into()) }
}
