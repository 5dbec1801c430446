//! The S3 driver keeps the contract, alone and as one of several: the profile `registry-shared` is `registry` and more.

use driver_testsuite::{Options, Profile, run};

use crate::server::Server;

#[tokio::test]
async fn it_keeps_the_contract() {
    let server = Server::start();
    // Each request costs a driver and a server that are not optimised some milliseconds, and some cases make thousands within
    // their time limit.
    let options = Options { jobs: 2, ..Options::of(Profile::RegistryShared) };
    let report = run(&server.launch().into(), &options).await.unwrap();
    assert!(report.is_compliant(), "{report}");
}
