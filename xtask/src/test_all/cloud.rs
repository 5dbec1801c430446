//! What every driver of a cloud's store is asked for on a server that is not ours: the conformance suite judges it as a
//! program, and docker pushes and pulls through the registry, sent to the server by redirects and not.

use std::path::{Path, PathBuf};

use super::docker::Docker;
use super::image::Image;
use super::process::{bounded, run};
use super::registry::Site;
use super::report::Report;
use super::suite;
use super::workshop::Workshop;
use super::{conformance, replicas};
use crate::Outcome;

/// A driver, and a server for it that runs.
pub(super) struct Cloud<'a> {
    /// Of the driver, in the registry's configuration and in its crate's name.
    pub(super) driver: &'static str,
    pub(super) parameters: Vec<(&'static str, String)>,
    /// Cases of the suite that the server cannot pass, one a line.
    pub(super) expected_to_fail: &'static str,
    /// Cases at once: some make thousands of requests within their time limit.
    pub(super) jobs: u32,
    /// The longest cases that the server can do in their time.
    pub(super) level: &'static str,
    pub(super) workshop: &'a Workshop,
}

impl Cloud<'_> {
    pub(super) fn check(&self, report: &mut Report) {
        let name = self.driver;
        let Some(driver) = report.prepare(&format!("the {name} driver is built"), || self.build()) else { return };
        if let Some(suite) = report.prepare("the conformance suite", || suite::build(self.workshop)) {
            report.check(&format!("the {name} driver keeps the contract"), || self.judge(&suite, &driver));
        }
        let docker = report.prepare("a Docker daemon", || {
            Ok((Image::make(self.workshop)?, Docker::start(self.workshop, &format!("{name}-docker"))?))
        });
        let Some((image, docker)) = docker else { return };
        for redirects in [true, false] {
            let how = if redirects { "with" } else { "without" };
            report.check(&format!("docker pushes and pulls through {name} {how} redirects"), || {
                self.push_and_pull(&driver, &image, &docker, redirects)
            });
        }
    }

    /// What registries make of the driver, besides docker's use of one.
    pub(super) fn check_registries(&self, report: &mut Report) {
        let name = self.driver;
        report.check(&format!("OCI conformance, {name} driver"), || {
            let purpose = format!("conformance-{name}");
            conformance::judge(self.workshop, &purpose, self.site(&purpose, &self.build()?, false)?)
        });
        report.check(&format!("two registries with the {name} driver serve each other's pushes"), || {
            replicas::check(&self.site(&format!("{name}-replicas"), &self.build()?, false)?)
        });
    }

    fn build(&self) -> Outcome<PathBuf> {
        self.workshop.executable(&format!("bulkhead-driver-{}", self.driver))
    }

    fn site(&self, purpose: &str, driver: &Path, redirects: bool) -> Outcome<Site> {
        Site::configured(self.workshop, purpose, self.configuration(driver, redirects))
    }

    fn judge(&self, suite: &Path, driver: &Path) -> Outcome<String> {
        let folder = self.workshop.folder(&format!("{}-suite", self.driver))?;
        let (file, expected) = (folder.join("store.json"), folder.join("expected"));
        std::fs::write(&expected, self.expected_to_fail)?;
        let parameters: Vec<_> = self.parameters.iter().map(|(name, value)| format!("{name:?}: {value:?}")).collect();
        std::fs::write(&file, format!("{{{}}}", parameters.join(", ")))?;
        let mut command = bounded(1800, suite);
        command.arg("run").arg("--spawn").arg(driver).arg("--config").arg(file);
        command.arg("--expect-fail").arg(expected).args(["--level", self.level]);
        let told = run(command.args(["--profile", "registry-shared", "--jobs", &self.jobs.to_string()]))?;
        let last = told.lines().last().unwrap_or_default().to_owned();
        if last.contains(" 0 failed, 0 skipped,") { Ok(last) } else { Err(told.into()) }
    }

    fn configuration(&self, driver: &Path, redirects: bool) -> String {
        let parameters = self.parameters.iter().map(|(name, value)| format!("    {name}: {value:?}\n"));
        format!(
            "version: 0.1\nstorage:\n  redirect:\n    disable: {}\n  {}:\n{}driver:\n  executable: {}\n",
            !redirects,
            self.driver,
            parameters.collect::<String>(),
            driver.display()
        )
    }

    fn push_and_pull(&self, driver: &Path, image: &Image, docker: &Docker, redirects: bool) -> Outcome<String> {
        let site = self.site(&format!("{}-registry", self.driver), driver, redirects)?;
        let registry = site.start()?;
        let reference = format!("{}/debian/minbase:{}", registry.address, self.driver);
        let seen = docker.push_and_pull(image, &reference)?;
        site.clear_away(registry)?;
        Ok(seen)
    }
}
