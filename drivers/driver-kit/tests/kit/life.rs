//! Handshake, configuration, health and drain, on a server within the test.

use std::time::Duration;

use driver_kit::Server;
use storagedriver_proto::handshake::HelloRequest;
use storagedriver_proto::handshake::handshake_client::HandshakeClient;
use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{PutRequest, SERVICE};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::stub::{Served, configuration, error, parameters, soon, stat};

fn health_of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn hello_echoes_the_nonce_and_names_the_variables() {
    let served = Served::start(Server::new(vec![1, 2, 3]));
    let hello = HandshakeClient::new(served.connect().await).hello(HelloRequest::default()).await.unwrap().into_inner();
    assert_eq!((&hello.nonce[..], hello.driver_name.as_str()), (&[1, 2, 3][..], "stub"));
    assert!(hello.instance != 0);
    assert_eq!(hello.environment, ["STUB_MOOD", "STORAGE_DRIVER_LOG"]);
}

#[tokio::test]
async fn an_operators_configuration_stands() {
    let server = Server::new(Vec::new());
    server.configure(parameters(&[("read_only", "true")])).await.unwrap();
    let served = Served::start(server);
    let mut client = StorageDriverClient::new(served.connect().await);
    client.stat(stat("/a")).await.unwrap();
    for same in [&[][..], &[("read_only", "true")]] {
        let answer = client.configure(configuration(same)).await.unwrap().into_inner();
        assert!(answer.capabilities.unwrap().read_only);
    }
    let other = client.configure(configuration(&[("read_only", "false")])).await;
    assert_eq!(error(other).reason(), Reason::ConfigInvalid);
}

#[tokio::test]
async fn a_parameter_that_cannot_be_read_is_refused_and_another_try_allowed() {
    let served = Served::start(Server::new(Vec::new()));
    let mut client = StorageDriverClient::new(served.connect().await);
    let refused = client.configure(configuration(&[("read_only", "perhaps")])).await;
    assert_eq!(error(refused).reason(), Reason::ConfigInvalid);
    client.configure(configuration(&[])).await.unwrap();
}

#[tokio::test]
async fn health_follows_the_back_end() {
    let (served, mut client) = Served::configured(&[]).await;
    let mut watched = HealthClient::new(served.connect().await).watch(health_of(SERVICE)).await.unwrap().into_inner();
    for (path, wanted) in
        [("/up", ServingStatus::Serving), ("/down", ServingStatus::NotServing), ("/up", ServingStatus::Serving)]
    {
        client.put(PutRequest { path: path.to_owned(), ..Default::default() }).await.unwrap();
        let next = async { while watched.message().await.unwrap().unwrap().status() != wanted {} };
        soon(next).await;
    }
    let process = HealthClient::new(served.connect().await).check(health_of("")).await.unwrap().into_inner();
    assert_eq!(process.status(), ServingStatus::Serving);
}

#[tokio::test]
async fn a_stop_is_told_to_those_who_watch_and_waits_for_nobody_idle() {
    let (served, _client) = Served::configured(&[]).await;
    let mut watched = HealthClient::new(served.connect().await).watch(health_of("")).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    served.stop.cancel();
    assert_eq!(soon(watched.message()).await.unwrap().unwrap().status(), ServingStatus::NotServing);
    tokio::time::timeout(Duration::from_secs(5), served.ended).await.expect("no wait").unwrap().unwrap();
}
