//! The conformance suite on its own faulty driver, with no fault switched on: a suite that is right finds nothing.

use std::path::{Path, PathBuf};

use super::process::{bounded, run};
use super::report::Report;
use super::workshop::Workshop;
use crate::Outcome;

/// What one run may take on a machine that is busy.
const RUN_SECONDS: u32 = 90;

/// Profiles, each with the parameters of a store that has what it asks for, and the cases that matter for it.
const ROUNDS: [(&str, &str, &str); 4] = [
    ("registry", "granularity=1", ""),
    ("registry", "granularity=65536", ""),
    ("registry", "redirect=true", "redirects/"),
    ("registry-shared", "shared=true", "sharing/"),
];

pub(super) fn check(workshop: &Workshop, report: &mut Report, runs: u32) {
    let Some(suite) = report.prepare("the conformance suite", || build(workshop)) else { return };
    for (profile, parameter, filter) in ROUNDS {
        report.check(&format!("{runs} runs of the suite with {parameter} are clean"), || {
            repeat(&suite, runs, &["--profile", profile, "--param", parameter, "--filter", filter])
        });
    }
}

/// The suite, with its driver beside it.
pub(super) fn build(workshop: &Workshop) -> Outcome<PathBuf> {
    workshop.executable("driver-testsuite")
}

/// The verdict of a suite on a driver whose store is a folder.
pub(super) fn judge(suite: &Path, driver: &Path, socket: &str) -> Outcome<String> {
    let mut command = bounded(900, suite);
    command.arg("run").arg("--spawn").arg(driver).args(["--socket", socket]);
    let told = run(command.args(["--param", "rootdirectory={folder}", "--profile", "registry"]))?;
    let last = told.lines().last().unwrap_or_default().to_owned();
    if last.contains(": compliant with") { Ok(last) } else { Err(told.into()) }
}

fn repeat(suite: &Path, runs: u32, words: &[&str]) -> Outcome<String> {
    let mut command = bounded(runs.saturating_mul(RUN_SECONDS), suite);
    command.args(["run", "--driver", "faulty", "--param", "rootdirectory={folder}", "--level", "quick"]);
    let told = run(command.args(["--repeat", &runs.to_string()]).args(words))?;
    Ok(told.lines().last().unwrap_or_default().to_owned())
}
