//! The drivers that vendors copy, each built as its README says, judged by the conformance suite as a program, and then
//! behind the registry for a real client.

use std::path::{Path, PathBuf};

use super::docker::Docker;
use super::image::Image;
use super::process::{bounded, run};
use super::registry::Site;
use super::report::Report;
use super::suite;
use super::workshop::Workshop;
use crate::Outcome;

/// One template: how it is built, what is started, and how the registry and it meet.
struct Template {
    name: &'static str,
    build: &'static [&'static str],
    executable: &'static str,
    /// `inherit` or `path`, in the suite's words and in those of the registry's configuration.
    socket: &'static str,
}

const TEMPLATES: &[Template] = &[
    Template {
        name: "go",
        build: &["go generate", "go build -o build/"],
        executable: "build/bulkhead-driver-folder",
        socket: "inherit",
    },
    Template {
        name: "python",
        build: &[
            "python3 -m venv .venv",
            ".venv/bin/pip install --quiet --requirement requirements.txt",
            "./make-bindings",
        ],
        executable: "bulkhead-driver-python",
        socket: "path",
    },
];

pub(super) fn check(workshop: &Workshop, report: &mut Report) {
    let Some(suite) = report.prepare("the conformance suite", || suite::build(workshop)) else { return };
    let docker =
        report.prepare("a Docker daemon", || Ok((Image::make(workshop)?, Docker::start(workshop, "vendors-docker")?)));
    for template in TEMPLATES {
        let name = template.name;
        let Some(driver) = report.prepare(&format!("the {name} template is built"), || template.make()) else {
            continue;
        };
        report.check(&format!("the {name} template keeps the contract"), || {
            suite::judge(&suite, &driver, template.socket)
        });
        if let Some((image, docker)) = &docker {
            report.check(&format!("docker pushes and pulls through the {name} template"), || {
                template.push_and_pull(workshop, &driver, image, docker)
            });
        }
    }
}

impl Template {
    fn make(&self) -> Outcome<PathBuf> {
        let folder = crate::root::path("drivers/templates").join(self.name);
        for step in self.build {
            run(bounded(900, "sh").args(["-c", step]).current_dir(&folder))?;
        }
        Ok(folder.join(self.executable))
    }

    fn push_and_pull(&self, workshop: &Workshop, driver: &Path, image: &Image, docker: &Docker) -> Outcome<String> {
        let store = workshop.folder("vendor-store")?;
        let config = format!(
            "version: 0.1\nstorage:\n  vendor:\n    rootdirectory: {}\ndriver:\n  executable: {}\n  socket: {}\n",
            store.display(),
            driver.display(),
            self.socket
        );
        let site = Site::configured(workshop, &format!("vendor-{}", self.name), config)?;
        let registry = site.start()?;
        let reference = format!("{}/debian/minbase:{}", registry.address, self.name);
        let seen = docker.push_and_pull(image, &reference)?;
        site.clear_away(registry)?;
        Ok(seen)
    }
}
