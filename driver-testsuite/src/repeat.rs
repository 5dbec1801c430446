//! What a registry does when the transport fails a call: it repeats it, or continues where it was.

use std::time::Duration;

use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1::{ReadRequest, WalkRequest};
use tokio::time::Instant;
use tonic::Status;

use crate::client::Client;

/// How long a call is repeated.
const PATIENCE: Duration = Duration::from_secs(20);

/// Rests between two attempts.
const REST: Duration = Duration::from_millis(5);

/// Whether the status says nothing of the storage.
pub(crate) fn is_transport(status: &Status) -> bool {
    from_status(status).is_none()
}

/// Makes the call until it is answered by the storage.
pub(crate) async fn repeat<T, F>(mut call: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Err(status) if is_transport(&status) && Instant::now() < deadline => tokio::time::sleep(REST).await,
            result => return result,
        }
    }
}

/// A Read that may need several streams.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) seen: Vec<u8>,
    version: String,
}

impl Reading {
    /// One more stream, from where the last one ended.
    pub(crate) async fn go_on(&mut self, client: &Client, path: &str) -> Result<(), Status> {
        let (offset, if_version) = (self.seen.len() as u64, self.version.clone());
        let request = ReadRequest { path: path.to_owned(), offset, length: None, if_version };
        let mut messages = client.open_read(request).await?;
        while let Some(message) = messages.message().await? {
            if let Some(info) = message.info {
                self.version = info.version;
            }
            self.seen.extend_from_slice(&message.data);
        }
        Ok(())
    }
}

/// Walks on after the last path in `seen`, which grows by what comes before the stream ends.
pub(crate) async fn walk_on(client: &Client, path: &str, seen: &mut Vec<String>) -> Result<(), Status> {
    let start_after = seen.last().cloned().unwrap_or_default();
    let request = WalkRequest { path: path.to_owned(), start_after };
    let mut messages = client.raw_streams().walk(request).await?.into_inner();
    while let Some(message) = messages.message().await? {
        seen.extend(message.entries.into_iter().map(|entry| entry.path));
    }
    Ok(())
}
