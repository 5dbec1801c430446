//! A BuildKit daemon of our own. It is not in Debian, so it is built from its Go module.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::process::{Server, bounded, poll, run, server};
use super::tools::{Debian, Go, require};
use super::workshop::Workshop;
use crate::Outcome;

const BUILDKIT: Go =
    Go { module: "github.com/moby/buildkit", version: "v0.34.2", commands: &["/cmd/buildctl", "/cmd/buildkitd"] };

const START_LIMIT: Duration = Duration::from_secs(60);

pub(super) struct BuildKit {
    control: PathBuf,
    address: String,
    /// Stopped when it is dropped.
    _daemon: Server,
}

impl BuildKit {
    pub(super) fn start(workshop: &Workshop) -> Outcome<BuildKit> {
        require(&[Debian { program: "runc", package: "runc" }])?;
        let programs = BUILDKIT.build(workshop)?;
        let folder = workshop.folder("buildkit")?;
        let address = format!("unix://{}", folder.join("socket").display());
        let mut command = server(programs.join("buildkitd"));
        command.args(["--addr", &address, "--oci-worker-snapshotter=native", "--containerd-worker=false", "--root"]);
        let daemon = Server::start(command.arg(folder.join("root")), &workshop.log("buildkit"))?;
        let buildkit = BuildKit { control: programs.join("buildctl"), address, _daemon: daemon };
        poll("BuildKit's start", START_LIMIT, || Ok(run(&mut buildkit.command(&["debug", "workers"])).ok()))?;
        Ok(buildkit)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = bounded(600, &self.control);
        command.args(["--addr", &self.address]).args(words);
        command
    }

    /// Builds from a Dockerfile and pushes the result.
    pub(super) fn build_and_push(&self, words: &[&str], reference: &str) -> Outcome<String> {
        let output = format!("type=image,name={reference},push=true,registry.insecure=true");
        let build = ["build", "--frontend", "dockerfile.v0", "--output", &output];
        run(self.command(&build).args(words))
    }
}
