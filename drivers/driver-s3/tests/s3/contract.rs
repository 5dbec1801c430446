//! The S3 driver keeps the contract, alone and as one of several: the profile `registry-shared` is `registry` and more.

use driver_testsuite::{Options, Profile, run};

use crate::server::Server;

#[tokio::test]
async fn it_keeps_the_contract() {
    let server = Server::start();
    let report = run(&server.launch().into(), &Options::of(Profile::RegistryShared)).await.unwrap();
    assert!(report.is_compliant(), "{report}");
}
