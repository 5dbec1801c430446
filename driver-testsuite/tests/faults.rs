//! The suite itself is tested: a driver with one fault fails the case that `faults.txt` names for it.
//!
//! Each line of the table is `fault case [parameter=value ...]`, with `attached` among the parameters where an operator
//! runs the driver. Every fault is in the table, and every case that a driver must pass up to the level full.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

use driver_testsuite::report::Verdict;
use driver_testsuite::{Demand, Launch, Level, Options, Profile, Scope, StartError, Target, cases, run};
use futures::{StreamExt, stream};
use tempfile::TempDir;
use tokio::process::Child;

const TABLE: &str = include_str!("faults.txt");
const DRIVER: &str = env!("CARGO_BIN_EXE_bulkhead-driver-faulty");

/// Faulty drivers that run at once.
const AT_ONCE: usize = 6;

struct Row<'a> {
    fault: &'a str,
    case: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    is_attached: bool,
}

/// The driver of a row, as the suite comes to it.
struct Subject {
    target: Target,
    /// Where an operator runs it: the process, and the folder with its socket and its store.
    _running: Option<(Child, TempDir)>,
}

impl Row<'_> {
    fn subject(&self) -> Subject {
        if self.is_attached { self.attached() } else { Subject { target: self.spawned().into(), _running: None } }
    }

    fn spawned(&self) -> Launch {
        let launch = Launch::new(DRIVER).argument("--fault").argument(self.fault);
        let launch = launch.parameter("rootdirectory", "{folder}");
        self.parameters.iter().fold(launch, |launch, (name, value)| launch.parameter(name, value))
    }

    fn attached(&self) -> Subject {
        let folder = tempfile::tempdir().unwrap();
        let (socket, file, store) =
            (folder.path().join("sock"), folder.path().join("conf"), folder.path().join("store"));
        std::fs::write(&file, serde_json::json!({ "rootdirectory": store }).to_string()).unwrap();
        let mut command = tokio::process::Command::new(DRIVER);
        command.args(["--fault", self.fault, "--listen", &format!("unix:{}", socket.display()), "--config"]).arg(file);
        let child = command.kill_on_drop(true).spawn().unwrap();
        Subject { target: Target::Attached(socket), _running: Some((child, folder)) }
    }
}

fn rows() -> Vec<Row<'static>> {
    let row = |line: &'static str| {
        let mut words = line.split_whitespace();
        let (fault, case) = (words.next()?, words.next()?);
        let rest: Vec<_> = words.collect();
        let parameters = rest.iter().filter_map(|word| word.split_once('=')).collect();
        Some(Row { fault, case, parameters, is_attached: rest.contains(&"attached") })
    };
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect()
}

fn profile_of(case: &str) -> Profile {
    let case = cases::all().find(|known| known.id == case).expect("the table names a case that there is");
    match case.scope {
        Scope::Shared => Profile::RegistryShared,
        Scope::Descriptors => Profile::LocalFast,
        Scope::ReadOnly => Profile::ReadOnly,
        Scope::Every | Scope::Writing | Scope::Durable => Profile::Registry,
    }
}

/// Runs of a case: a fault that is a race shows in one of them.
const ATTEMPTS: u64 = 4;

/// What is wrong with the row; `None` when the case catches the fault.
async fn missed(row: &Row<'_>) -> Option<String> {
    let mut last = None;
    for seed in 0..ATTEMPTS {
        last = Some(missed_with(row, seed).await?);
    }
    last
}

async fn missed_with(row: &Row<'_>, seed: u64) -> Option<String> {
    let subject = row.subject();
    let options = Options { filter: vec![row.case.to_owned()], seed, ..Options::of(profile_of(row.case)) };
    let report = match run(&subject.target, &options).await {
        Ok(report) => report,
        // A driver that refuses its configuration was caught by whoever gave it.
        Err(StartError::Configure(_)) => return None,
        Err(problem) => return Some(format!("{} cannot be run with {}: {problem}", row.case, row.fault)),
    };
    let verdict = report.cases.iter().find(|case| case.id == row.case).map(|case| case.verdict.clone());
    match verdict {
        Some(Verdict::Failed(_)) => None,
        // A disk of the suite's own needs the rights of root.
        Some(Verdict::Skipped(_)) if row.case.starts_with("disk/") => None,
        other => Some(format!("{} does not see {}: {other:?}", row.case, row.fault)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_caught_by_its_case() {
    let rows = rows();
    let complaints: Vec<String> =
        stream::iter(&rows).map(missed).buffer_unordered(AT_ONCE).filter_map(async |missed| missed).collect().await;
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fault_nothing_is_caught() {
    let rows = [
        (Profile::Registry, Level::Quick, "", ""),
        (Profile::RegistryShared, Level::Quick, "shared", "sharing/"),
        (Profile::Registry, Level::Quick, "redirect", "redirects/"),
        (Profile::LocalFast, Level::Quick, "descriptors", "descriptors/"),
        (Profile::LocalFast, Level::Quick, "descriptors", "holders/"),
        (Profile::LocalFast, Level::Quick, "descriptors", "packets/"),
        (Profile::LocalFast, Level::Quick, "descriptors write_descriptors", "files/"),
        (Profile::ReadOnly, Level::Full, "read_only filled", "readonly/"),
    ];
    for (profile, level, switches, filter) in rows {
        let launch = Launch::new(DRIVER).parameter("rootdirectory", "{folder}");
        let launch = switches.split_whitespace().fold(launch, |launch, name| launch.parameter(name, "true"));
        let options = Options { level, filter: vec![filter.to_owned()], ..Options::of(profile) };
        let report = run(&launch.into(), &options).await.unwrap();
        assert!(report.is_kept(), "{report}");
    }
}

#[test]
fn every_fault_of_the_driver_is_in_the_table() {
    let told = Command::new(DRIVER).arg("--faults").output().unwrap().stdout;
    let told = String::from_utf8(told).unwrap();
    let faults: BTreeSet<&str> = told.lines().filter_map(|line| line.split('\t').next()).collect();
    let listed: BTreeSet<&str> = rows().iter().map(|row| row.fault).collect();
    assert_eq!(faults, listed);
}

#[test]
fn a_case_that_catches_no_fault_is_known() {
    let rows = rows();
    let catching: BTreeSet<&str> = rows.iter().map(|row| row.case).collect();
    let idle: BTreeSet<&str> = cases::all()
        .filter(|case| case.demand == Demand::Must && case.level <= Level::Full && !catching.contains(case.id))
        .map(|case| case.id)
        .collect();
    let known: BTreeSet<&str> = IDLE.iter().copied().collect();
    assert_eq!(idle, known, "a case that begins to catch a fault leaves the list; a new one comes with a fault");
}

/// Cases that no row of the table shows to fail. The list may only become shorter.
const IDLE: &[&str] = &[];
