//! The memory driver keeps the contract, as a store of bytes and as one of parts.

#![allow(clippy::unwrap_used)]

use driver_testsuite::{Launch, Options, Profile, run};

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
