//! A driver process for each test, on a server of its own.

use std::ops::Deref;

use driver_testsuite::{Client, Driver, Launch, StartError};
use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1::StorageError;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;

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

pub(crate) async fn start(launch: Launch) -> Running {
    try_start(launch).await.unwrap()
}

pub(crate) async fn try_start(launch: Launch) -> Reply<Running> {
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
