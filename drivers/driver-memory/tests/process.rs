//! What is the memory driver's own: an operator can run it, and it can be full.

#![allow(clippy::unwrap_used)]

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use driver_testsuite::{Driver, Launch};
use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1::ConfigureRequest;
use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;
use tonic::transport::Endpoint;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bulkhead-driver-memory");

fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> Reason {
    from_status(&result.unwrap_err()).unwrap().reason()
}

#[tokio::test]
async fn an_operator_configures_it_by_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (config, socket) = (folder.path().join("memory.json"), folder.path().join("memory.sock"));
    std::fs::write(&config, r#"{"granularity": "4096"}"#).unwrap();
    let listen = format!("unix:{}", socket.display());
    let mut command = tokio::process::Command::new(PROGRAM);
    let _driver = command.args(["--listen", &listen, "--config"]).arg(&config).kill_on_drop(true).spawn().unwrap();

    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let channel = loop {
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(problem) => assert!(Instant::now() < deadline, "{problem}"),
        }
    };
    let answer = StorageDriverClient::new(channel).configure(ConfigureRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().capabilities.unwrap().granularity, 4096);
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_start_that_cannot_be_is_explained() {
    let rows: [(&[&str], &str); 3] = [
        (&[], "started by a registry"),
        (&["--listen", "unix:/nowhere/a.sock", "--config", "/nowhere/a.json"], "/nowhere/a.sock cannot be bound"),
        (&["--verbose"], "--verbose is unknown"),
    ];
    for (arguments, part) in rows {
        let mut command = std::process::Command::new(PROGRAM);
        let mut child = command.args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        // Lines of the log are objects.
        let sentences: Vec<&str> = told.lines().filter(|line| !line.starts_with('{')).collect();
        assert!(matches!(sentences[..], [sentence] if sentence.contains(part)), "{arguments:?}: {told}");
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}

#[tokio::test]
async fn it_is_full_at_max_bytes_and_has_room_again_after_a_delete() {
    let launch = Launch::new(PROGRAM).parameter("max_bytes", "100");
    let driver = Driver::start(&launch).await.unwrap();
    let client = driver.configured().await.unwrap();
    client.put("/a", "x".repeat(60)).await.unwrap();
    client.put("/a", "x".repeat(80)).await.unwrap();
    assert_eq!(reason(client.put("/b", "x".repeat(30)).await), Reason::NoSpace);
    assert_eq!(reason(client.stage("/staging", &[0; 30]).await), Reason::NoSpace);
    client.delete("/a", false).await.unwrap();
    let _session = client.stage("/staging", &[0; 90]).await.unwrap();
    assert_eq!(reason(client.put("/b", "x".repeat(30)).await), Reason::NoSpace);
    client.delete("/staging", false).await.unwrap();
    client.put("/b", "x".repeat(100)).await.unwrap();
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_refused() {
    for (name, value) in
        [("granularity", "0"), ("granularity", "1e9"), ("granularity", "99999999999"), ("max_bytes", "-1")]
    {
        let driver = Driver::start(&Launch::new(PROGRAM).parameter(name, value)).await.unwrap();
        let status = driver.client().await.unwrap().configure(driver.parameters()).await.unwrap_err();
        assert!(status.message().contains(name), "{name}={value}: {}", status.message());
        assert_eq!(reason(Err::<(), _>(status)), Reason::ConfigInvalid);
    }
}
