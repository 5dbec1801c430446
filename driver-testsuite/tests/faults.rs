//! The suite itself is tested: a driver with one fault fails the case that `faults.txt` names for it.
//!
//! Each line of the table is `fault case [parameter=value ...]`. A fault that is in no line is one that no case catches
//! yet; those are listed with `uncaught` in the place of the case, and that list may only become shorter.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

use driver_testsuite::report::Verdict;
use driver_testsuite::{Demand, Launch, Level, Options, Profile, Scope, cases, run};
use futures::{StreamExt, stream};

const TABLE: &str = include_str!("faults.txt");
const DRIVER: &str = env!("CARGO_BIN_EXE_bulkhead-driver-faulty");

/// Faulty drivers that run at once.
const AT_ONCE: usize = 4;

struct Row<'a> {
    fault: &'a str,
    case: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

fn rows() -> Vec<Row<'static>> {
    let row = |line: &'static str| {
        let mut words = line.split_whitespace();
        let (fault, case) = (words.next()?, words.next()?);
        Some(Row { fault, case, parameters: words.filter_map(|word| word.split_once('=')).collect() })
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
    let launch = Launch::new(DRIVER).argument("--fault").argument(row.fault).parameter("rootdirectory", "{folder}");
    let launch = row.parameters.iter().fold(launch, |launch, (name, value)| launch.parameter(name, value));
    let options = Options { filter: vec![row.case.to_owned()], seed, ..Options::of(profile_of(row.case)) };
    // A driver that cannot even be configured was caught by whoever tried.
    let report = run(&launch.into(), &options).await.ok()?;
    let verdict = report.cases.iter().find(|case| case.id == row.case).map(|case| case.verdict.clone());
    match verdict {
        Some(Verdict::Failed(_)) => None,
        other => Some(format!("{} does not see {}: {other:?}", row.case, row.fault)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_caught_by_its_case() {
    let rows = rows();
    let caught = rows.iter().filter(|row| row.case != "uncaught");
    let complaints: Vec<String> =
        stream::iter(caught).map(missed).buffer_unordered(AT_ONCE).filter_map(async |missed| missed).collect().await;
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fault_nothing_is_caught() {
    let launch = Launch::new(DRIVER).parameter("rootdirectory", "{folder}");
    let rows = [
        (Profile::Registry, "shared", "false", ""),
        (Profile::RegistryShared, "shared", "true", "sharing/"),
        (Profile::Registry, "redirect", "true", "redirects/"),
        (Profile::LocalFast, "descriptors", "true", "descriptors/"),
        (Profile::LocalFast, "descriptors", "true", "holders/"),
        (Profile::LocalFast, "descriptors", "true", "packets/"),
    ];
    for (profile, parameter, value, filter) in rows {
        let launch = launch.clone().parameter(parameter, value);
        let options = Options { level: Level::Quick, filter: vec![filter.to_owned()], ..Options::of(profile) };
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
        .filter(|case| case.demand == Demand::Must && case.level == Level::Quick && !catching.contains(case.id))
        .map(|case| case.id)
        .collect();
    let known: BTreeSet<&str> = IDLE.iter().copied().collect();
    assert_eq!(idle, known, "a case that begins to catch a fault leaves the list; a new one comes with a fault");
}

/// Quick cases that no row of the table shows to fail. The list may only become shorter.
const IDLE: &[&str] = &[
    "cleanup/nothing_is_left",
    "configure/failed_once",
    "configure/secret_in_a_file",
    "deleting/two_at_once",
    "errors/capabilities_constant",
    "faults/garbage_connections",
    "faults/half_closed",
    "faults/huge_message",
    "faults/many_headers",
    "faults/slow_line",
    "faults/twice",
    "faults/unknown_calls",
    "handshake/ignores_unknown_fields",
    "health/after_a_failed_configure",
    "leaks/connections",
    "life/calls_wait",
    "life/logs",
    "listing/tells_what_stat_tells",
    "moving/two_movers",
    "paths/case_kept",
    "reading/continued",
    "readonly/is_declared",
    "resume/deleted_before_a_kill",
    "resume/half_a_session",
    "sessions/commit_repeated",
    "sessions/many_sessions",
    "sharing/commit_if_absent",
    "sharing/commits_elsewhere",
    "sharing/deletes_elsewhere",
    "sharing/is_declared",
    "sharing/session_moves",
];
