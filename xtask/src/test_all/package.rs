//! What others take from here: the two crates of the contract, the systemd unit, the container image.

use std::path::Path;
use std::time::Duration;

use super::buildkit::BuildKit;
use super::docker::Docker;
use super::image::Image;
use super::process::{Server, bounded, poll, run};
use super::registry::{Site, announced};
use super::report::Report;
use super::tools::{Debian, require};
use super::workshop::Workshop;
use crate::Outcome;
use crate::root::path;

const START_LIMIT: Duration = Duration::from_secs(60);

/// What `systemd-analyze security` gives at most, of 100.
const EXPOSURE_MAX: u32 = 20;

pub(super) fn check(workshop: &Workshop, report: &mut Report) {
    report.check("proto and driver-kit package alone", crates);
    report.check("the configurations of deploy/ and docs/ would do", || configurations(workshop));
    report.check("the systemd unit is right and tight", || unit(workshop));
    report.check("the container image serves", || container(workshop));
}

/// Packs the crates as for publishing, and compiles what was packed.
fn crates() -> Outcome<String> {
    let packages = ["--package", "storagedriver-proto", "--package", "driver-kit"];
    run(bounded(1500, env!("CARGO")).args(["package", "--quiet", "--locked"]).args(packages).current_dir(path("")))?;
    Ok("packed and compiled".to_owned())
}

fn configurations(workshop: &Workshop) -> Outcome<String> {
    let mut texts = Vec::new();
    for file in ["deploy/container/config.yml", "deploy/systemd/config.yml"] {
        texts.push(std::fs::read_to_string(path(file))?);
    }
    let guide = std::fs::read_to_string(path("docs/OPERATING.md"))?;
    texts.extend(examples(&guide).map(str::to_owned));
    let folder = workshop.folder("configurations")?;
    for (number, text) in texts.iter().enumerate() {
        let file = folder.join(format!("{number}.yml"));
        std::fs::write(&file, text)?;
        run(bounded(30, &workshop.bulkhead).arg("check-config").arg(&file))
            .map_err(|problem| format!("{text}{problem}"))?;
    }
    Ok(format!("{} of them", texts.len()))
}

/// The YAML in a Markdown text.
fn examples(markdown: &str) -> impl Iterator<Item = &str> {
    markdown.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next())
}

/// systemd does not run here, so the unit is read and not started. Its program is replaced by the one that is there.
fn unit(workshop: &Workshop) -> Outcome<String> {
    require(&[Debian { program: "systemd-analyze", package: "systemd" }])?;
    let text = std::fs::read_to_string(path("deploy/systemd/bulkhead.service"))?;
    let unit = workshop.folder("unit")?.join("bulkhead.service");
    std::fs::write(&unit, text.replace("/usr/bin/bulkhead", &workshop.bulkhead.to_string_lossy()))?;
    run(bounded(60, "systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no"]).arg(&unit))?;
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let table = run(bounded(60, "systemd-analyze").args(["security", "--offline=yes", &threshold]).arg(&unit))?;
    Ok(table.lines().last().unwrap_or_default().trim().to_owned())
}

/// The image is built from the recipe, pushed, pulled and run. The stage that compiles is replaced by what has been
/// compiled here, and the base by a Debian made here, since no hub of images can be reached.
fn container(workshop: &Workshop) -> Outcome<String> {
    let registry = Site::new(workshop, "package", "filesystem")?.start()?;
    let docker = Docker::start(workshop, "package-docker")?;
    let base = format!("{}/debian/minbase:1", registry.address);
    docker.run(&["import", &Image::make(workshop)?.tarball.to_string_lossy(), &base])?;
    docker.run(&["push", &base])?;
    let image = format!("{}/bulkhead:1", registry.address);
    build(workshop, &base, &image)?;
    docker.run(&["pull", &image])?;
    serve(&docker, workshop, &image)
}

fn build(workshop: &Workshop, base: &str, image: &str) -> Outcome {
    let built = workshop.folder("built")?;
    let release = built.join("source/target/release");
    std::fs::create_dir_all(&release)?;
    std::fs::copy(&workshop.bulkhead, release.join("bulkhead"))?;
    let local = |name: &str, folder: &Path| format!("--local={name}={}", folder.display());
    let words = [
        &local("context", &path("")),
        &local("dockerfile", &path("deploy/container")),
        "--opt=filename=Containerfile",
        &format!("--opt=build-arg:BASE={base}"),
        "--opt=context:build=local:built",
        &local("built", &built),
    ];
    BuildKit::start(workshop)?.build_and_push(&words, image)?;
    Ok(())
}

/// Runs the image as tightly as an operator may, and asks it something.
fn serve(docker: &Docker, workshop: &Workshop, image: &str) -> Outcome<String> {
    let run_image = ["run", "--rm", "--network=host", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", image];
    let serve = ["serve", "/etc/bulkhead/config.yml", "--addr", "127.0.0.1:0"];
    let mut container =
        Server::start(&mut docker.command(&[&run_image[..], &serve[..]].concat()), &workshop.log("container"))?;
    let address = container.wait_for("the container's start", START_LIMIT, announced)?;
    let question = format!("http://{address}/readyz");
    require(&[Debian { program: "curl", package: "curl" }])?;
    poll("the container's readiness", START_LIMIT, || {
        Ok(run(bounded(10, "curl").args(["--silent", "--show-error", "--fail", &question])).ok())
    })
}
