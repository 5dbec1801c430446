//! skopeo, which copies the bytes of images as they are.

use std::path::{Path, PathBuf};

use super::Bench;
use crate::Outcome;
use crate::test_all::process::{bounded, run, shell};
use crate::test_all::tools::{Debian, require};

/// Copies an image, with all its platforms, from one place to another: `docker://…` or `dir:…`.
pub(super) fn copy(from: &str, to: &str) -> Outcome {
    require(&[Debian { program: "skopeo", package: "skopeo" }])?;
    const OPTIONS: [&str; 5] =
        ["--insecure-policy", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"];
    run(bounded(600, "skopeo").args(OPTIONS).args([from, to]))?;
    Ok(())
}

/// The SHA-256 of the layer of an image that has one, as the registry serves it.
pub(in crate::test_all) fn layer_sha256(reference: &str, folder: &Path) -> Outcome<String> {
    copy(&format!("docker://{reference}"), &format!("dir:{}", folder.display()))?;
    let largest = "gzip --decompress --stdout \"$1/$(ls -S \"$1\" | head -1)\" | sha256sum";
    shell(largest, [folder.as_ref()])
}

/// Pulls, pushes under another name, pulls that, and compares every file of the two copies.
pub(super) fn round_trip(bench: &Bench, reference: &str) -> Outcome<PathBuf> {
    let copies = bench.workshop.folder("skopeo")?;
    let (first, second) = (copies.join("first"), copies.join("second"));
    let as_folder = |folder: &Path| format!("dir:{}", folder.display());
    let copied = format!("docker://{reference}-copied");
    copy(&format!("docker://{reference}"), &as_folder(&first))?;
    copy(&as_folder(&first), &copied)?;
    copy(&copied, &as_folder(&second))?;
    shell("diff --recursive --brief \"$1\" \"$2\"", [first.as_ref(), second.as_ref()])?;
    Ok(second)
}

pub(super) fn copy_there_and_back(bench: &Bench) -> Outcome<String> {
    let reference = bench.reference("docker");
    round_trip(bench, &reference)?;
    let folder = bench.workshop.folder("skopeo-layer")?;
    bench.image.compare(&layer_sha256(&format!("{reference}-copied"), &folder)?)
}
