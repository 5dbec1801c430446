//! The filesystem driver keeps the contract, alone in its store and as one that shares it.

use driver_testsuite::{Launch, run};

fn launch() -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_bulkhead-driver-filesystem")).parameter("rootdirectory", "{folder}/root")
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let report = run(&launch()).await;
    assert!(report.is_kept(), "{report}");
}

#[tokio::test]
async fn it_keeps_the_contract_when_it_shares() {
    let report = run(&launch().parameter("shared", "true")).await;
    assert!(report.is_kept(), "{report}");
}
