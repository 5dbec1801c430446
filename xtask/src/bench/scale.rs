//! The cost of one operation on stores of growing size, which are written as files, since pushing them would take hours.
//!
//! It knows the layout of a store, which is distribution's.

use std::fs;
use std::path::{Path, PathBuf};

use super::content::Source;
use super::measure::{Effort, measure};
use super::results::Point;
use super::subject::{Subject, store};
use crate::Outcome;
use crate::http::Client;

const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// How many different things are asked for.
const SAMPLE: u64 = 100;
const ROOT: &str = "docker/registry/v2";
const MANY: &str = "many/things";
const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

type Target = fn(usize, &[String]) -> (&'static str, String);

/// What is asked for, by a number below the size of the store and the digests of its blobs.
const OPERATIONS: [(&str, Target); 4] = [
    ("GET manifest, of many tags", |number, _| ("GET", format!("/v2/{MANY}/manifests/t{number}"))),
    ("GET manifest, of many repositories", |number, _| ("GET", format!("/v2/r{number}/manifests/latest"))),
    ("page of 100 tags", |number, _| ("GET", format!("/v2/{MANY}/tags/list?n=100&last=t{number}"))),
    ("HEAD blob", |number, digests| ("HEAD", format!("/v2/{MANY}/blobs/{}", digests[number]))),
];

/// Measures every subject that takes a store of files, at every size up to `most`.
pub(super) fn run(subjects: &[Subject], scratch: &Path, most: usize, effort: Effort) -> Outcome<Vec<Point>> {
    let mut points = Vec::new();
    for size in SIZES.into_iter().filter(|size| *size <= most) {
        let folder = tempfile::Builder::new().prefix("scale.").tempdir_in(scratch)?;
        println!("\na store of {size} tags, repositories and blobs");
        let digests = generate(&store(folder.path()), size)?;
        for subject in subjects.iter().filter(|subject| subject.takes_a_store()) {
            points.extend(one(subject, folder.path(), size, &digests, effort)?);
        }
    }
    Ok(points)
}

fn one(subject: &Subject, folder: &Path, size: usize, digests: &[String], effort: Effort) -> Outcome<Vec<Point>> {
    let running = subject.start(folder)?;
    let mut points = Vec::new();
    for (operation, target) in OPERATIONS {
        let step = |client: &mut Client, number: u64| {
            let (method, target) = target(spread(number, size), digests);
            client.ask(method, &target, 200).map(drop)
        };
        let measured = measure(&running.address, running.process, effort, &step)?;
        let cpu_ms = measured.cpu_ms.unwrap_or_default();
        println!("{operation:<36} {:<18} {:>9.0} µs", subject.name, cpu_ms * 1e3);
        points.push(Point { operation, subject: subject.name.clone(), size, cpu_ms });
    }
    Ok(points)
}

/// Numbers below `size` in no order: as many different ones in a large store as in a small one, so that it is the size of the
/// store that makes a difference, and not how much of it a registry remembers.
fn spread(number: u64, size: usize) -> usize {
    ((number % SAMPLE).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % size
}

/// Writes a store of `size` tags of one repository, repositories, and blobs; gives the digests of the blobs.
fn generate(data: &Path, size: usize) -> Outcome<Vec<String>> {
    let root = data.join(ROOT);
    let manifest = format!("sha256:{}", hex_of(MANIFEST.as_bytes()));
    write(&blob(&root, &manifest), MANIFEST.as_bytes())?;
    write(&link(&repository(&root, MANY).join("_manifests/revisions"), &manifest), manifest.as_bytes())?;
    let source = Source::new(64);
    let mut digests = Vec::with_capacity(size);
    for number in 0..size {
        tag(&root, MANY, &format!("t{number}"), &manifest)?;
        let name = format!("r{number}");
        write(&link(&repository(&root, &name).join("_manifests/revisions"), &manifest), manifest.as_bytes())?;
        tag(&root, &name, "latest", &manifest)?;
        let content = source.make();
        write(&blob(&root, &content.digest), &content.pieces().collect::<Vec<_>>().concat())?;
        write(&link(&repository(&root, MANY).join("_layers"), &content.digest), content.digest.as_bytes())?;
        digests.push(content.digest);
    }
    Ok(digests)
}

fn tag(root: &Path, name: &str, tag: &str, digest: &str) -> Outcome {
    let current = repository(root, name).join("_manifests/tags").join(tag).join("current/link");
    write(&current, digest.as_bytes())
}

fn repository(root: &Path, name: &str) -> PathBuf {
    root.join("repositories").join(name)
}

fn hex_of(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hex(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}

fn blob(root: &Path, digest: &str) -> PathBuf {
    root.join("blobs/sha256").join(&hex(digest)[..2]).join(hex(digest)).join("data")
}

fn link(folder: &Path, digest: &str) -> PathBuf {
    folder.join("sha256").join(hex(digest)).join("link")
}

fn write(file: &Path, bytes: &[u8]) -> Outcome {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(file, bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_laid_out_as_distribution_does() {
        let folder = tempfile::tempdir().unwrap();
        let digests = generate(folder.path(), 3).unwrap();
        let root = folder.path().join(ROOT);
        let manifest = fs::read_to_string(root.join("repositories/r2/_manifests/tags/latest/current/link")).unwrap();
        assert_eq!(fs::read(blob(&root, &manifest)).unwrap(), MANIFEST.as_bytes());
        assert_eq!(fs::read(blob(&root, &digests[2])).unwrap().len(), 64);
        let layer = root.join("repositories").join(MANY).join("_layers/sha256").join(hex(&digests[0])).join("link");
        assert_eq!(fs::read_to_string(layer).unwrap(), digests[0]);
    }
}
