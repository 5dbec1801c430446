//! The memory driver keeps the contract, as a store of bytes and as one of parts.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use driver_kit::Server;
use driver_memory::Memory;
use driver_testsuite::report::Verdict;
use driver_testsuite::{Launch, Options, Profile, Target, run};
use tokio::net::UnixListener;

async fn hold(launch: Launch) {
    let report = run(&launch.into(), &Options::of(Profile::Ephemeral)).await.unwrap();
    assert!(report.is_compliant(), "{report}");
}

fn launch() -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_bulkhead-driver-memory"))
}

#[tokio::test]
async fn it_keeps_the_contract() {
    hold(launch()).await;
}

#[tokio::test]
async fn it_keeps_the_contract_in_parts() {
    hold(launch().parameter("granularity", "65536")).await;
}

/// The same service without a process of its own. The cases that kill one have nothing to kill, and say so.
#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_within_the_process_that_asks() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("memory.sock");
    let server = Server::<Memory>::new(Vec::new());
    server.configure(BTreeMap::new()).await.unwrap();
    tokio::spawn(server.serve(UnixListener::bind(&socket).unwrap(), std::future::pending()));
    let report = run(&Target::Attached(socket), &Options::of(Profile::Ephemeral)).await.unwrap();
    let passed = report.cases.iter().filter(|case| case.verdict == Verdict::Passed).count();
    assert!(report.is_kept() && passed > 70, "{report}");
    let unlooked = report.cases.iter().filter(|case| matches!(case.verdict, Verdict::Skipped(_)));
    assert!(unlooked.map(|case| case.id.as_str()).all(needs_a_process), "{report}");
    assert!(!report.is_compliant(), "{report}");
}

fn needs_a_process(id: &str) -> bool {
    driver_testsuite::cases::all().any(|case| case.id == id && case.needs_process())
}
