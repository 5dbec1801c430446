//! The S3 driver keeps the contract.

use driver_testsuite::{Launch, Options, Profile, run};

use crate::server::Server;

async fn hold(launch: Launch, profile: Profile) {
    let report = run(&launch.into(), &Options::of(profile)).await.unwrap();
    assert!(report.is_compliant(), "{report}");
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let server = Server::start();
    hold(server.launch(), Profile::RegistryShared).await;
}
