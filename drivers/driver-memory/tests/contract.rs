//! The memory driver keeps the contract, as a store of bytes and as one of parts.

use driver_testsuite::{Launch, run};

fn launch() -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_bulkhead-driver-memory"))
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let report = run(&launch()).await;
    assert!(report.is_kept(), "{report}");
}

#[tokio::test]
async fn it_keeps_the_contract_in_parts() {
    let report = run(&launch().parameter("granularity", "65536")).await;
    assert!(report.is_kept(), "{report}");
}
