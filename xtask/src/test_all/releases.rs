//! What section 9 of the contract promises: the last release and this build work with each other, unrebuilt.
//!
//! The last release is the newest tag `vX.Y.Z`. It is built once, in a work tree and a target folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::load::client::{Blob, pull, push};
use super::process::{bounded, run};
use super::registry::Site;
use super::report::Report;
use super::suite;
use super::workshop::Workshop;
use crate::Outcome;
use crate::root;

/// Of the blob that is pushed and pulled: several messages in both directions.
const BLOB: u64 = 8 << 20;

const DRIVER: &str = "bulkhead-driver-filesystem";

pub(super) fn check(workshop: &Workshop, report: &mut Report) {
    let Some(tag) = report.prepare("the last release", last_release) else { return };
    let Some(tag) = tag else {
        return report.check("the last release", || Ok("nothing was released yet: there is no tag v*".to_owned()));
    };
    let old = report.prepare(&format!("{tag} is built"), || Build::of_tag(workshop, &tag));
    let new = report.prepare("this state is built", || Build::of_this(workshop));
    let (Some(old), Some(new)) = (old, new) else { return };
    report.check(&format!("the registry of today on the driver of {tag}"), || push_and_pull(workshop, &old.driver));
    report.check(&format!("the suite of today on the driver of {tag}"), || {
        suite::judge(&new.suite, &old.driver, "inherit")
    });
    report.check(&format!("the suite of {tag} on the driver of today"), || {
        suite::judge(&old.suite, &new.driver, "inherit")
    });
}

fn git<const N: usize>(words: [&str; N]) -> Command {
    let mut command = bounded(60, "git");
    command.args(words).current_dir(root::path(""));
    command
}

/// The newest tag of a release, if there is any.
fn last_release() -> Outcome<Option<String>> {
    let tags = run(&mut git(["tag", "--list", "v[0-9]*", "--sort=-version:refname"]))?;
    Ok(tags.lines().next().map(str::to_owned))
}

/// The executables of one state of the repository.
struct Build {
    driver: PathBuf,
    suite: PathBuf,
}

impl Build {
    fn of_tag(workshop: &Workshop, tag: &str) -> Outcome<Build> {
        let tree = WorkTree::of(workshop, tag)?;
        Self::make(&tree.0, &workshop.kept(&format!("release-{tag}")))
    }

    fn of_this(workshop: &Workshop) -> Outcome<Build> {
        Ok(Build { driver: workshop.executable(DRIVER)?, suite: suite::build(workshop)? })
    }

    /// As it was released, with the dependencies that it had.
    fn make(source: &Path, target: &Path) -> Outcome<Build> {
        let mut build = bounded(3000, env!("CARGO"));
        build.args(["build", "--quiet", "--locked", "--package", "driver-filesystem", "--package", "driver-testsuite"]);
        run(build.arg("--target-dir").arg(target).current_dir(source))?;
        let folder = target.join("debug");
        Ok(Build { driver: folder.join(DRIVER), suite: folder.join("driver-testsuite") })
    }
}

/// The files of a tag. Dropping it takes them away.
struct WorkTree(PathBuf);

impl WorkTree {
    fn of(workshop: &Workshop, tag: &str) -> Outcome<WorkTree> {
        let folder = workshop.folder("release")?.join("source");
        run(git(["worktree", "add", "--detach", "--force"]).arg(&folder).arg(tag))?;
        Ok(WorkTree(folder))
    }
}

impl Drop for WorkTree {
    fn drop(&mut self) {
        // git forgets a work tree whose folder is gone by itself, only later.
        let _ = run(git(["worktree", "remove", "--force"]).arg(&self.0));
    }
}

fn push_and_pull(workshop: &Workshop, driver: &Path) -> Outcome<String> {
    let store = workshop.folder("release-store")?;
    let (store, driver) = (store.display(), driver.display());
    let config =
        format!("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {store}\ndriver:\n  executable: {driver}\n");
    let site = Site::configured(workshop, "releases", config)?;
    let registry = site.start()?;
    let blob = Blob::new(1, BLOB);
    let moved = push(&registry.address, &blob).and_then(|()| pull(&registry.address, &blob));
    moved.map_err(|problem| problem.to_string())?;
    site.clear_away(registry)?;
    Ok(format!("{} MiB pushed and pulled", BLOB >> 20))
}
