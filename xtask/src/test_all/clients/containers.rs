//! podman and buildah: the same store of images, each with one of its own.

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::test_all::image::folder_sha256;
use crate::test_all::process::{bounded, run};
use crate::test_all::tools::{Debian, require};
use crate::test_all::workshop::Workshop;

pub(super) struct Store {
    program: &'static str,
    folder: PathBuf,
}

impl Store {
    pub(super) fn new(workshop: &Workshop, program: &'static str) -> Outcome<Store> {
        require(&[Debian { program, package: program }])?;
        Ok(Store { program, folder: workshop.folder(program)? })
    }

    /// The vfs storage driver needs nothing of the kernel.
    fn run(&self, words: &[&str]) -> Outcome<String> {
        let mut command = bounded(600, self.program);
        command.arg("--root").arg(self.folder.join("root")).arg("--runroot").arg(self.folder.join("run"));
        run(command.args(["--storage-driver", "vfs"]).args(words))
    }

    pub(super) fn pull(&self, reference: &str) -> Outcome<String> {
        self.run(&["pull", "--tls-verify=false", reference])
    }

    pub(super) fn push(&self, image: &str, reference: &str) -> Outcome<String> {
        self.run(&["push", "--tls-verify=false", image, &format!("docker://{reference}")])
    }

    pub(super) fn remove(&self, image: &str) -> Outcome<String> {
        self.run(&["rmi", image])
    }

    /// The SHA-256 of all files of an image, unpacked.
    pub(super) fn files_sha256(&self, image: &str) -> Outcome<String> {
        let mounted = match self.program {
            "buildah" => self.run(&["mount", &self.run(&["from", image])?])?,
            _ => self.run(&["image", "mount", image])?,
        };
        folder_sha256(Path::new(&mounted))
    }
}
