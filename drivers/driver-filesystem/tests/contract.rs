//! The filesystem driver keeps the contract, alone in its store and as one that shares it.

#![allow(clippy::unwrap_used)]

use driver_testsuite::{Launch, Options, Profile, run};

async fn hold(launch: Launch, profile: Profile) {
    let report = run(&launch.into(), &Options::of(profile)).await.unwrap();
    assert!(report.is_compliant(), "{report}");
}

fn launch() -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_bulkhead-driver-filesystem")).parameter("rootdirectory", "{folder}/root")
}

#[tokio::test]
async fn it_keeps_the_contract() {
    hold(launch(), Profile::Registry).await;
}

#[tokio::test]
async fn it_keeps_the_contract_when_it_shares() {
    hold(launch().parameter("shared", "true"), Profile::RegistryShared).await;
}
