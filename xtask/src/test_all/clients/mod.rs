//! Real clients push and pull a real image, and each gets back the bytes it sent, while the storage driver is a process
//! of its own.

mod containers;
mod index;
mod skopeo;

use super::docker::Docker;
use super::image::Image;
use super::process::run;
use super::registry::{Registry, Site};
use super::report::Report;
use super::tools::{Debian, require};
use super::workshop::Workshop;
use crate::Outcome;
use containers::Store;

pub(super) use skopeo::layer_sha256;

/// What all clients work on.
struct Bench<'a> {
    workshop: &'a Workshop,
    registry: Registry,
    image: Image,
    docker: Docker,
}

impl Bench<'_> {
    fn open(workshop: &Workshop) -> Outcome<Bench<'_>> {
        let image = Image::make(workshop)?;
        let registry = Site::new(workshop, "clients", "filesystem")?.start()?;
        let docker = Docker::start(workshop, "clients-docker")?;
        Ok(Bench { workshop, registry, image, docker })
    }

    /// The image as one client pushed it.
    fn reference(&self, tag: &str) -> String {
        format!("{}/debian/minbase:{tag}", self.registry.address)
    }
}

pub(super) fn check(workshop: &Workshop, report: &mut Report) {
    let Some(bench) = report.prepare("clients", || Bench::open(workshop)) else { return };
    report.check("docker pushes and pulls", || docker(&bench));
    report.check("skopeo copies out and in", || skopeo::copy_there_and_back(&bench));
    for program in ["podman", "buildah"] {
        report.check(&format!("{program} pulls, pushes and pulls"), || containers(&bench, program));
    }
    report.check("docker pulls what podman pushed", || docker_pulls(&bench, "podman"));
    report.check("BuildKit pushes a multi-platform index with attestations", || index::push(&bench));
    report.check("the driver is a process of its own", || driver_process(&bench.registry));
}

/// Pushes the image under the tag from which the other clients take it.
fn docker(bench: &Bench) -> Outcome<String> {
    let reference = bench.reference("docker");
    let tarball = bench.image.tarball.to_string_lossy();
    bench.docker.run(&["import", &tarball, &reference])?;
    bench.docker.run(&["push", &reference])?;
    docker_pulls(bench, "docker")
}

fn docker_pulls(bench: &Bench, tag: &str) -> Outcome<String> {
    let kept = bench.docker.run(&["images", "--quiet", "--no-trunc"])?;
    let kept: Vec<_> = kept.lines().collect();
    bench.docker.run(&[&["rmi", "--force"], kept.as_slice()].concat())?;
    let reference = bench.reference(tag);
    bench.docker.run(&["pull", &reference])?;
    bench.image.compare(&bench.docker.layer_sha256(&reference)?)
}

fn containers(bench: &Bench, program: &'static str) -> Outcome<String> {
    let store = Store::new(bench.workshop, program)?;
    let reference = bench.reference(program);
    store.pull(&bench.reference("docker"))?;
    store.push(&bench.reference("docker"), &reference)?;
    store.remove(&bench.reference("docker"))?;
    store.pull(&reference)?;
    bench.image.compare(&store.files_sha256(&reference)?)
}

/// Shows the processes as `ps` does.
fn driver_process(registry: &Registry) -> Outcome<String> {
    require(&[Debian { program: "ps", package: "procps" }])?;
    let parent = registry.id().to_string();
    let listed = run(std::process::Command::new("ps").args(["-o", "pid=,ppid=,args=", "--ppid", &parent]))?;
    if listed.contains("driver") { Ok(listed) } else { Err(format!("no driver below the registry: {listed}").into()) }
}
