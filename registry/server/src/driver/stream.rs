//! [`Incoming`]: what a driver streams to us, with the place it takes on a bulk connection.

use storagedriver_proto::Path;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use super::channel::{BulkLease, Client};
use super::client::DriverClient;
use super::error::Fault;
use super::retry::within;

/// Dropping it cancels the call at the driver.
pub(super) struct Incoming<T> {
    messages: Streaming<T>,
    _lease: BulkLease,
}

impl<T> Incoming<T> {
    /// The next message; `None` when the driver ended the stream with OK.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Option<T>, Fault> {
        Ok(within(deadline, self.messages.message()).await??)
    }
}

impl DriverClient {
    /// Begins a stream, when there is a place for it by `deadline`. How long it may last then is the caller's to say.
    pub(super) async fn open_stream<Q, T, F>(
        &self,
        deadline: Instant,
        message: Q,
        send: impl FnOnce(Client, Request<Q>) -> F,
    ) -> Result<Incoming<T>, Fault>
    where
        F: Future<Output = Result<Response<Streaming<T>>, Status>>,
    {
        self.gate().pass(deadline).await?;
        let lease = within(deadline, self.connections().lease_bulk()).await?;
        let lease = lease.ok_or_else(|| Fault::down("the registry is shutting down"))?;
        let answer = within(deadline, Box::pin(send(lease.client(), Request::new(message)))).await??;
        Ok(Incoming { messages: answer.into_inner(), _lease: lease })
    }
}

/// A path as the wire has it; empty for none.
pub(super) fn optional(path: Option<&Path>) -> String {
    path.map(Path::to_string).unwrap_or_default()
}
