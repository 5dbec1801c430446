//! A real operating system image: a Debian that `debootstrap` made, as one tarball.
//!
//! The tarball's SHA-256 is what every client must come back to after a push and a pull.

use std::path::{Path, PathBuf};

use super::process::{bounded, run, shell};
use super::tools::{Debian, require};
use super::workshop::{Workshop, empty};
use crate::Outcome;

const RELEASE: &str = "bookworm";

pub(super) struct Image {
    pub(super) tarball: PathBuf,
    pub(super) sha256: String,
}

impl Image {
    /// Made once, and kept between runs.
    pub(super) fn make(workshop: &Workshop) -> Outcome<Image> {
        let tarball = workshop.kept(&format!("{RELEASE}.tar"));
        if !tarball.exists() {
            bootstrap(workshop, &tarball)?;
        }
        let sha256 = shell("sha256sum < \"$1\"", [tarball.as_ref()])?;
        Ok(Image { tarball, sha256 })
    }

    /// Compares what a client has with the tarball.
    pub(super) fn compare(&self, found: &str) -> Outcome<String> {
        if found == self.sha256 {
            return Ok("byte-identical".to_owned());
        }
        Err(format!("the image came back changed: {found} instead of {}", self.sha256).into())
    }
}

fn bootstrap(workshop: &Workshop, tarball: &Path) -> Outcome {
    require(&[Debian { program: "debootstrap", package: "debootstrap" }])?;
    let folder = workshop.kept("debootstrap");
    empty(&folder)?;
    run(bounded(900, "debootstrap").args(["--variant=minbase", RELEASE]).arg(&folder))?;
    let unfinished = tarball.with_extension("part");
    shell(&format!("{PACK} > \"$2\""), [folder.as_ref(), unfinished.as_ref()])?;
    std::fs::rename(unfinished, tarball)?;
    Ok(std::fs::remove_dir_all(folder)?)
}

/// The same bytes for the same files, wherever they lie: sorted, owners by number, without the folder they lie in.
const PACK: &str = "cd \"$1\"; ls -A | LC_ALL=C sort | tar --create --numeric-owner --sort=name --files-from=-";

/// The SHA-256 of the tarball that would be made of a folder.
pub(super) fn folder_sha256(folder: &Path) -> Outcome<String> {
    shell(&format!("{PACK} | sha256sum"), [folder.as_ref()])
}
