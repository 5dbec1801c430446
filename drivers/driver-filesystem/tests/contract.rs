//! The filesystem driver keeps the contract, alone in its store and as one that shares it.

#![allow(clippy::unwrap_used)]

use driver_testsuite::{Launch, Options, Profile, Way, run};

async fn hold(launch: Launch, profile: Profile) {
    let report = run(&launch.into(), &Options::of(profile)).await.unwrap();
    assert!(report.is_compliant(), "{report}");
}

fn launch() -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_bulkhead-driver-filesystem")).parameter("rootdirectory", "{folder}/root")
}

/// That profile is all of `registry`, and descriptors: the folder for temporary files must be on a file system of the host.
#[tokio::test]
async fn it_keeps_the_contract() {
    hold(launch(), Profile::LocalFast).await;
}

#[tokio::test]
async fn it_hands_descriptors_over_beside_a_socket_that_it_binds() {
    let filter = ["life/binds", "descriptors/", "holders/", "packets/", "files/"].map(str::to_owned).into();
    let options = Options { filter, ..Options::of(Profile::LocalFast) };
    let report = run(&launch().by(Way::Path).into(), &options).await.unwrap();
    assert!(report.is_kept(), "{report}");
}

#[tokio::test]
async fn it_keeps_the_contract_when_it_shares() {
    hold(launch().parameter("shared", "true"), Profile::RegistryShared).await;
}
