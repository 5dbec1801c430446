//! A Docker daemon of our own, with its own folder and socket.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::image::Image;
use super::process::{Server, bounded, poll, run, server, shell};
use super::tools::{Debian, require};
use super::workshop::Workshop;
use crate::Outcome;

const START_LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Docker {
    host: String,
    folder: PathBuf,
    /// Stopped when the last field of it is dropped.
    _daemon: Server,
}

impl Docker {
    pub(super) fn start(workshop: &Workshop, purpose: &str) -> Outcome<Docker> {
        require(&[
            Debian { program: "docker", package: "docker.io" },
            Debian { program: "dockerd", package: "docker.io" },
        ])?;
        let folder = workshop.folder(purpose)?;
        let host = format!("unix://{}", folder.join("socket").display());
        let daemon = Server::start(&mut daemon(&folder, &host), &workshop.log(purpose))?;
        let docker = Docker { host, folder, _daemon: daemon };
        poll("the Docker daemon's start", START_LIMIT, || Ok(docker.run(&["version"]).ok()))?;
        Ok(docker)
    }

    /// A command, to be run or started. Loopback registries need neither TLS nor a word in its configuration.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = bounded(600, "docker");
        command.args(["--host", &self.host]).args(words);
        command
    }

    pub(super) fn run(&self, words: &[&str]) -> Outcome<String> {
        run(&mut self.command(words))
    }

    /// Pushes the image to where `reference` says, and pulls it from there; afterwards this daemon does not have it.
    pub(super) fn push_and_pull(&self, image: &Image, reference: &str) -> Outcome<String> {
        self.run(&["import", &image.tarball.to_string_lossy(), reference])?;
        self.run(&["push", reference])?;
        self.run(&["image", "rm", reference])?;
        self.run(&["pull", reference])?;
        let seen = image.compare(&self.layer_sha256(reference)?)?;
        self.run(&["image", "rm", reference])?;
        Ok(seen)
    }

    /// The SHA-256 of the layer of an image that has one.
    pub(super) fn layer_sha256(&self, image: &str) -> Outcome<String> {
        let saved = self.folder.join("saved.tar");
        run(self.command(&["save", image, "--output"]).arg(&saved))?;
        shell("tar --extract --to-stdout --wildcards --file \"$1\" '*layer.tar' | sha256sum", [saved.as_ref()])
    }
}

/// It touches nothing of the host: no bridge, no packet filter, no folder but its own.
fn daemon(folder: &Path, host: &str) -> Command {
    let mut command = server("dockerd");
    command
        .args(["--host", host, "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"])
        .arg("--data-root")
        .arg(folder.join("data"))
        .arg("--exec-root")
        .arg(folder.join("exec"))
        .arg("--pidfile")
        .arg(folder.join("pid"));
    command
}
