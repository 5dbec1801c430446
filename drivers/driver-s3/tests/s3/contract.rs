//! The S3 driver keeps the contract.

use driver_testsuite::{Launch, Options, Profile, run};

use crate::server::Server;

async fn hold(launch: Launch, profile: Profile) {
    let options = Options { progress: Box::new(|p| if let driver_testsuite::Progress::Case{report,number,all} = p { eprintln!("{number}/{all} {} {:.1}s {:?}", report.id, report.seconds, format!("{:?}",report.verdict).chars().take(300).collect::<String>()) }), filter: std::env::var("CASES").ok().into_iter().flat_map(|c| c.split(',').map(str::to_owned).collect::<Vec<_>>()).collect(), ..Options::of(profile) };
    let report = run(&launch.into(), &options).await.unwrap();
    assert!(report.is_compliant(), "{report}");
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let server = Server::start();
    hold(server.launch(), Profile::RegistryShared).await;
}
