//! A walk over everything below a path, as a stream that goes on when its driver dies.

use futures::stream::{Stream, StreamExt, TryStreamExt, iter, try_unfold};
use storagedriver_proto::Path;
use storagedriver_proto::v1alpha1::{WalkRequest, WalkResponse};

use super::answers::WalkEntry;
use super::channel::Client;
use super::client::DriverClient;
use super::error::{DriverError, Fault};
use super::from_proto;
use super::retry::{Attempts, Call};
use super::stream::{Incoming, optional};

/// A walk under way: the last path received is where another stream goes on.
struct Walking {
    client: DriverClient,
    below: Path,
    after: Option<Path>,
    source: Option<Incoming<WalkResponse>>,
}

impl DriverClient {
    /// Everything below `path`, each content once, in the order of paths, from the first after `start_after`.
    pub(crate) fn walk(
        &self,
        path: &Path,
        start_after: Option<&Path>,
    ) -> impl Stream<Item = Result<WalkEntry, DriverError>> + Send + Unpin + use<> {
        let walking = Walking { client: self.clone(), below: path.clone(), after: start_after.cloned(), source: None };
        let next = |mut walking: Walking| async move { Ok(walking.next().await?.map(|batch| (batch, walking))) };
        try_unfold(walking, next).map_ok(|batch| iter(batch.into_iter().map(Ok))).try_flatten().boxed()
    }
}

impl Walking {
    async fn next(&mut self) -> Result<Option<Vec<WalkEntry>>, DriverError> {
        let mut attempts = Attempts::within(Call::WALK.deadline);
        loop {
            let outcome = self.advance(&attempts).await;
            if outcome.is_err() {
                self.source = None;
            }
            if let Some(entries) = self.client.settle(Call::WALK, &self.below, &mut attempts, outcome).await? {
                return Ok(entries);
            }
        }
    }

    async fn advance(&mut self, attempts: &Attempts) -> Result<Option<Vec<WalkEntry>>, Fault> {
        let message = match &mut self.source {
            Some(source) => source.next(attempts.deadline()).await?,
            None => self.source.insert(self.reopen(attempts).await?).next(attempts.deadline()).await?,
        };
        let Some(message) = message else { return Ok(None) };
        let entries = from_proto::walk_entries(message, &self.below, self.after.as_ref())?;
        if let Some(last) = entries.last() {
            self.after = Some(last.path.clone());
        }
        Ok(Some(entries))
    }

    async fn reopen(&self, attempts: &Attempts) -> Result<Incoming<WalkResponse>, Fault> {
        let request = WalkRequest { path: self.below.to_string(), start_after: optional(self.after.as_ref()) };
        let walk = |mut client: Client, request| async move { client.walk(request).await };
        self.client.open_stream(attempts.deadline(), request, walk).await
    }
}
