//! A driver process for each test, on a server of its own.

use std::ops::Deref;

use driver_testsuite::{Client, Driver, Launch, StartError};
use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1::StorageError;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;

use crate::server::Server;

/// The size of a part in these tests.
pub(crate) const PART: usize = 5 << 20;

/// Keeps the driver from looking for old uploads, where requests are counted.
pub(crate) const NO_SWEEP: (&str, &str) = ("uploadmaxdays", "0");

pub(crate) type Reply<T> = Result<T, Status>;

/// A configured driver, as one of its callers. Dropping it kills the process at once.
pub(crate) struct Running {
    client: Client,
    _driver: Driver,
}

impl Deref for Running {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Running {
    pub(crate) async fn content(&self, path: &str) -> Reply<Vec<u8>> {
        Ok(self.read(path, 0, None).await?.1)
    }
}

/// A driver on `server`.
pub(crate) async fn start(server: &Server, parameters: &[(&str, &str)]) -> Running {
    try_start(server.launch(), parameters).await.unwrap()
}

pub(crate) async fn try_start(launch: Launch, parameters: &[(&str, &str)]) -> Reply<Running> {
    let launch = parameters.iter().fold(launch, |launch, (name, value)| launch.parameter(name, value));
    let driver = Driver::start(&launch).await.unwrap();
    match driver.configured().await {
        Ok(client) => Ok(Running { client, _driver: driver }),
        Err(StartError::Configure(status)) => Err(*status),
        Err(problem) => panic!("{problem}"),
    }
}

/// Why a call was refused.
pub(crate) fn detail<T>(reply: Reply<T>) -> StorageError {
    let status = reply.map(drop).unwrap_err();
    from_status(&status).unwrap_or_else(|| panic!("{status:?} is no answer of the storage"))
}

pub(crate) fn reason<T>(reply: Reply<T>) -> Reason {
    detail(reply).reason()
}

/// Why and with which words Configure was refused.
pub(crate) fn refusal(reply: Reply<Running>) -> (Reason, String) {
    let message = reply.as_ref().map(|_| ()).unwrap_err().message().to_owned();
    (reason(reply), message)
}
