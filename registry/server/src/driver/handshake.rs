//! The first calls on a new driver process: who it is, what it speaks, whether it works, and its configuration.
//!
//! They are made outside the gate that other calls wait at, since they are what opens it.

use std::collections::BTreeMap;
use std::time::Duration;

use storagedriver_proto::handshake::handshake_client::HandshakeClient;
use storagedriver_proto::handshake::{HelloRequest, HelloResponse};
use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use storagedriver_proto::v1alpha1::{ConfigureRequest, PACKAGE};
use tokio::time::Instant;
use tonic::Request;
use tonic::transport::Channel;

use super::answers::Capabilities;
use super::error::{Duty, Fault};
use super::from_proto;
use super::retry::{Attempts, Call, within};
use super::start_error::StartError;

/// The packages of the protocol that this registry speaks, best first.
const PROTOCOLS: [&str; 1] = [PACKAGE];

/// What a driver says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) nonce: Vec<u8>,
    /// Another number is another process.
    pub(super) instance: u64,
    /// The variables it reads.
    pub(super) environment: Vec<String>,
}

/// Greets the driver called `driver`, and refuses one that does not speak our protocol.
pub(super) async fn hello(control: &Channel, driver: &str, call: Call) -> Result<Greeting, StartError> {
    let request = HelloRequest {
        registry_name: "bulkhead".to_owned(),
        registry_version: env!("CARGO_PKG_VERSION").to_owned(),
        protocols: PROTOCOLS.map(str::to_owned).to_vec(),
    };
    let mut client = HandshakeClient::new(control.clone());
    let mut attempts = Attempts::within(call.deadline);
    loop {
        let outcome = within(attempts.deadline(), client.hello(request.clone())).await.and_then(|answer| Ok(answer?));
        let settled = attempts.settle(outcome).await.map_err(|fault| silent(driver, &fault))?;
        if let Some(answer) = settled {
            return judge(answer.into_inner(), driver);
        }
    }
}

fn judge(answer: HelloResponse, driver: &str) -> Result<Greeting, StartError> {
    let HelloResponse { driver_name, driver_version: version, protocols, nonce, instance, environment } = answer;
    if !protocols.iter().any(|protocol| PROTOCOLS.contains(&protocol.as_str())) {
        let driver = format!("{driver_name} {version}");
        return Err(StartError::Protocol { driver, theirs: protocols.join(", "), ours: PROTOCOLS.join(", ") });
    }
    if instance == 0 {
        return Err(silent(driver, &Fault::nonsense("instance 0")));
    }
    Ok(Greeting { version, nonce: nonce.into(), instance, environment })
}

/// Opens the store. A back end that is not there is waited for as long as `patience` says: it may be starting too.
pub(super) async fn configure(
    control: &Channel,
    driver: &str,
    parameters: &BTreeMap<String, String>,
    patience: Duration,
) -> Result<Capabilities, StartError> {
    let parameters = parameters.clone().into_iter().collect();
    let message = ConfigureRequest { parameters };
    let (begun, mut attempts) = (Instant::now(), Attempts::within(Call::CONFIGURE.deadline));
    loop {
        let outcome = try_configure(control, message.clone(), &attempts).await;
        let outcome = outcome.inspect_err(|fault| tracing::warn!(driver, %fault, "the driver has no store yet"));
        let outcome = outcome.map_err(|fault| if begun.elapsed() < patience { fault } else { fault.believed() });
        if let Some(capabilities) = attempts.settle(outcome).await.map_err(|fault| refused(driver, &fault))? {
            return Ok(capabilities);
        }
    }
}

async fn try_configure(
    control: &Channel,
    message: ConfigureRequest,
    attempts: &Attempts,
) -> Result<Capabilities, Fault> {
    let mut request = Request::new(message);
    request.set_timeout(attempts.remaining());
    let mut client = StorageDriverClient::new(control.clone());
    let answer = within(attempts.deadline(), client.configure(request)).await??;
    from_proto::capabilities(answer.into_inner())
}

fn silent(driver: &str, fault: &Fault) -> StartError {
    StartError::Silent { driver: driver.to_owned(), why: fault.to_string() }
}

fn refused(driver: &str, fault: &Fault) -> StartError {
    let (driver, why) = (driver.to_owned(), fault.to_string());
    match fault.duty {
        Duty::ReportConfiguration => StartError::Configuration { driver, why },
        _ => StartError::Store { driver, why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(protocols: &[&str]) -> HelloResponse {
        HelloResponse {
            driver_name: "tape".to_owned(),
            driver_version: "9.1".to_owned(),
            protocols: protocols.iter().map(|protocol| (*protocol).to_owned()).collect(),
            instance: 1,
            ..Default::default()
        }
    }

    #[test]
    fn a_driver_of_another_protocol_is_refused_with_both_lists() {
        assert!(judge(answer(&["storagedriver.v9", PACKAGE]), "tape").is_ok());
        let refused = judge(answer(&["storagedriver.v8", "storagedriver.v9"]), "tape").unwrap_err().to_string();
        for part in ["tape 9.1 speaks storagedriver.v8, storagedriver.v9", "registry speaks storagedriver.v1alpha1"] {
            assert!(refused.contains(part), "{refused}");
        }
    }

    #[test]
    fn an_instance_of_zero_is_nonsense() {
        let answer = HelloResponse { instance: 0, ..answer(&[PACKAGE]) };
        assert!(matches!(judge(answer, "tape"), Err(StartError::Silent { .. })));
    }
}
