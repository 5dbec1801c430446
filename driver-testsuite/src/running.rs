//! For the own tests of a driver that is written in Rust: a configured process as one of its callers, and the reason in an
//! answer. It adds nothing to what [`Driver`] and [`Client`] can do, and judges nothing.

use std::ops::Deref;

use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1::StorageError;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::client::{Client, Reply};
use crate::launch::Launch;
use crate::process::{Driver, StartError};

/// A configured driver that is called through its [`Client`]. Dropping it kills the process at once.
pub struct Running {
    client: Client,
    driver: Driver,
}

impl Deref for Running {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Running {
    /// Starts and configures a driver on an empty folder.
    pub async fn start(launch: &Launch) -> Result<Self, StartError> {
        let driver = Driver::start(launch).await?;
        Ok(Self { client: driver.configured().await?, driver })
    }

    /// The same, or why Configure was refused.
    ///
    /// # Panics
    ///
    /// When the driver cannot be started at all.
    #[expect(clippy::panic, reason = "an assertion for tests, as assert_eq is")]
    pub async fn try_start(launch: &Launch) -> Reply<Self> {
        match Self::start(launch).await {
            Ok(running) => Ok(running),
            Err(StartError::Configure(status)) => Err(*status),
            Err(problem) => panic!("{problem}"),
        }
    }

    /// The caller, who goes on calling when the driver is killed.
    pub fn into_parts(self) -> (Client, Driver) {
        (self.client, self.driver)
    }

    pub async fn content(&self, path: &str) -> Reply<Vec<u8>> {
        Ok(self.read(path, 0, None).await?.1)
    }

    /// All names in a folder of few.
    pub async fn names(&self, path: &str) -> Reply<Vec<String>> {
        Ok(self.list(path, "", 0).await?.entries.into_iter().map(|entry| entry.name).collect())
    }

    /// All paths below `path`.
    pub async fn paths(&self, path: &str) -> Reply<Vec<String>> {
        let messages = self.walk(path, "").await?;
        Ok(messages.into_iter().flat_map(|message| message.entries).map(|entry| entry.path).collect())
    }
}

/// Why a call was refused.
///
/// # Panics
///
/// When it was not refused, or with a status that says nothing of the storage.
#[expect(clippy::panic, reason = "an assertion for tests, as assert_eq is")]
pub fn detail<T>(reply: Result<T, tonic::Status>) -> StorageError {
    match reply {
        Ok(_) => panic!("the call was not refused"),
        Err(status) => from_status(&status).unwrap_or_else(|| panic!("{status:?} is no answer of the storage")),
    }
}

/// The reason of [`detail`].
///
/// # Panics
///
/// Like it.
pub fn reason<T>(reply: Result<T, tonic::Status>) -> Reason {
    detail(reply).reason()
}

/// Why and with which words a call was refused.
///
/// # Panics
///
/// Like [`detail`].
pub fn refusal<T>(reply: Result<T, tonic::Status>) -> (Reason, String) {
    let message = reply.as_ref().err().map(|status| status.message().to_owned());
    (reason(reply), message.unwrap_or_default())
}
