//! [`DriverClient`] and its unary calls. It knows paths as names only, never what they mean.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use storagedriver_proto::Path;
use storagedriver_proto::limits::INLINE_MAX;
use storagedriver_proto::v1alpha1 as wire;
use storagedriver_proto::v1alpha1::redirect_url_request::Method;
use tonic::{Request, Response, Status};

use super::answers::{Capabilities, Info, ListPage};
use super::budget::Budget;
use super::channel::{Client, Connections};
use super::descriptors::Descriptors;
use super::error::{DriverError, DriverErrorKind, Duty, Fault};
use super::from_proto;
use super::gate::{self, Gate};
use super::retry::{Attempts, Call, within};
use super::standing::{Losses, Standing};

/// The storage: a driver in another process, as one object that is cheap to clone.
///
/// Every call waits while the driver restarts, is repeated as the protocol allows, and ends by its deadline.
#[derive(Clone)]
pub(crate) struct DriverClient {
    shared: Arc<Shared>,
}

struct Shared {
    connections: Connections,
    gate: Arc<Gate>,
    replay_budget: Budget,
    descriptors: Descriptors,
    /// The driver is this registry's own, and nobody else's calls reach it.
    owned: bool,
    losses: Losses,
}

/// The method that a redirected client will use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedirectMethod {
    Get,
    Head,
}

impl DriverClient {
    pub(super) fn new(connections: Connections, descriptors: Descriptors, gate: Arc<Gate>, owned: bool) -> Self {
        let (replay_budget, losses) = (Budget::default(), Losses::default());
        let shared = Shared { connections, gate, replay_budget, descriptors, owned, losses };
        DriverClient { shared: Arc::new(shared) }
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.shared.connections
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    pub(super) fn descriptors(&self) -> &Descriptors {
        &self.shared.descriptors
    }

    pub(super) fn replay_budget(&self) -> &Budget {
        &self.shared.replay_budget
    }

    /// What the store can do, as the driver last declared it.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.gate().capabilities()
    }

    /// For how long what is read now may be remembered; `None` when others may write to the store, or do not know when.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let restarts = self.sole_process()?;
        let losses = self.shared.losses.settled()?;
        Some(Standing { restarts, losses })
    }

    /// Whether nobody else can write to the store: no other driver, and no other registry through this one.
    pub(crate) fn is_sole_writer(&self) -> bool {
        self.shared.owned && !self.capabilities().shared
    }

    /// The process of the driver that is this registry's alone and alone writes to the store, by the number of restarts
    /// before it.
    pub(super) fn sole_process(&self) -> Option<u64> {
        self.gate().sole_writer().filter(|_| self.shared.owned)
    }

    /// Whether the driver and its store can be used now.
    pub(crate) fn status(&self) -> gate::Status {
        self.gate().status()
    }

    pub(crate) async fn stat(&self, path: &Path) -> Result<Info, DriverError> {
        let message = wire::StatRequest { path: path.to_string() };
        let call = Call::STAT;
        let wire::StatResponse { info } =
            self.unary(call, path, message, |mut client, request| async move { client.stat(request).await }).await?;
        from_proto::any_info(info).map_err(|fault| fault.into_error(call.operation, path, false))
    }

    /// The whole content, when it is at most `max` bytes, and `TooLarge` otherwise.
    pub(crate) async fn get(&self, path: &Path, max: usize) -> Result<Bytes, DriverError> {
        let content = match self.get_small(path).await {
            Err(error) if error.kind() == DriverErrorKind::TooLarge && max > INLINE_MAX => {
                return self.get_large(path, max).await;
            }
            other => other?,
        };
        if content.len() > max { Err(too_large(Call::GET, path, max)) } else { Ok(content) }
    }

    async fn get_small(&self, path: &Path) -> Result<Bytes, DriverError> {
        let message = wire::GetRequest { path: path.to_string() };
        let call = Call::GET;
        let answer =
            self.unary(call, path, message, |mut client, request| async move { client.get(request).await }).await?;
        from_proto::small_content(answer).map_err(|fault| fault.into_error(call.operation, path, false))
    }

    async fn get_large(&self, path: &Path, max: usize) -> Result<Bytes, DriverError> {
        let mut chunks = self.read(path, 0, None).await?;
        let size = usize::try_from(chunks.info().size).unwrap_or(usize::MAX);
        if size > max {
            return Err(too_large(Call::GET, path, max));
        }
        let mut content = Vec::with_capacity(size);
        while let Some(chunk) = chunks.try_next().await? {
            content.extend_from_slice(&chunk);
        }
        Ok(content.into())
    }

    /// Stores a content of at most 1 MiB, replacing what is there in one step.
    pub(crate) async fn put(&self, path: &Path, content: Bytes) -> Result<(), DriverError> {
        if content.len() > INLINE_MAX {
            return Err(too_large(Call::PUT, path, INLINE_MAX));
        }
        let message = wire::PutRequest { path: path.to_string(), content, if_absent: false };
        let put = |mut client: Client, request| async move { client.put(request).await };
        self.unary(Call::PUT, path, message, put).await.map(|wire::PutResponse { info: _ }| ())
    }

    /// Stores a content of any size that fits the memory, by way of a write session at `staging` when it must.
    pub(crate) async fn put_large(&self, staging: &Path, target: &Path, content: Bytes) -> Result<(), DriverError> {
        if content.len() <= INLINE_MAX {
            return self.put(target, content).await;
        }
        let mut session = self.open_session(staging, 0, Some(target)).await?;
        session.write(content).await?;
        session.commit(target).await
    }

    /// At most `limit` of the direct children of `path`, from the first name after `start_after`.
    pub(crate) async fn list(
        &self,
        path: &Path,
        start_after: Option<&str>,
        limit: usize,
    ) -> Result<ListPage, DriverError> {
        let start_after = start_after.unwrap_or_default().to_owned();
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let message = wire::ListRequest { path: path.to_string(), start_after: start_after.clone(), limit };
        let list = |mut client: Client, request| async move { client.list(request).await };
        let answer = self.unary(Call::LIST, path, message, list).await?;
        from_proto::list_page(answer, &start_after).map_err(|fault| fault.into_error(Call::LIST.operation, path, false))
    }

    /// Moves content, replacing what is at `target` in one step.
    pub(crate) async fn rename(&self, source: &Path, target: &Path) -> Result<(), DriverError> {
        let message = wire::MoveRequest { source: source.to_string(), target: target.to_string() };
        let call = Call::rename(&self.capabilities());
        let rename = |mut client: Client, request| async move { client.r#move(request).await };
        match self.unary(call, source, message, rename).await {
            Ok(wire::MoveResponse { info: _ }) => Ok(()),
            // The answer of an earlier attempt was lost: with the content at its target, that attempt did it.
            Err(error) if error.kind() == DriverErrorKind::NotFound && error.was_repeated() => {
                let moved = self.stat(target).await.is_ok_and(|info| !info.is_prefix);
                if moved { Ok(()) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes the content at `path`; nothing there is success.
    pub(crate) async fn delete(&self, path: &Path) -> Result<(), DriverError> {
        self.delete_by(Call::DELETE, path, false).await
    }

    /// Deletes everything at and below `path`, write sessions too; nothing there is success.
    pub(crate) async fn delete_tree(&self, path: &Path) -> Result<(), DriverError> {
        self.delete_by(Call::DELETE_TREE, path, true).await
    }

    async fn delete_by(&self, call: Call, path: &Path, recursive: bool) -> Result<(), DriverError> {
        let message = wire::DeleteRequest { path: path.to_string(), recursive };
        let delete = |mut client: Client, request| async move { client.delete(request).await };
        self.unary(call, path, message, delete).await.map(|wire::DeleteResponse {}| ())
    }

    /// A URL from which a client fetches the content itself; `None` when the registry is to serve it.
    pub(crate) async fn redirect_url(
        &self,
        path: &Path,
        method: RedirectMethod,
        expires_in: Duration,
        client: Option<IpAddr>,
    ) -> Result<Option<String>, DriverError> {
        let method = match method {
            RedirectMethod::Get => Method::Get,
            RedirectMethod::Head => Method::Head,
        };
        let message = wire::RedirectUrlRequest {
            path: path.to_string(),
            method: method.into(),
            expires_in: prost_types::Duration::try_from(expires_in).ok(),
            client_address: client.map(|address| address.to_string()).unwrap_or_default(),
        };
        let sign = |mut client: Client, request| async move { client.redirect_url(request).await };
        let wire::RedirectUrlResponse { url } = self.unary(Call::REDIRECT_URL, path, message, sign).await?;
        Ok(Some(url).filter(|url| !url.is_empty()))
    }

    /// Publishes the session at `staging`, of `size` bytes, at `target` in one step.
    pub(crate) async fn commit(&self, staging: &Path, target: &Path, size: u64) -> Result<(), DriverError> {
        let call = Call::commit(&self.capabilities());
        let message =
            wire::CommitRequest { path: staging.to_string(), target: target.to_string(), size, if_absent: false };
        let commit = |mut client: Client, request| async move { client.commit(request).await };
        self.unary(call, staging, message, commit).await.map(|wire::CommitResponse { info: _ }| ())
    }

    /// Makes one unary call, as often as it takes.
    async fn unary<Q, A, F>(
        &self,
        call: Call,
        path: &Path,
        message: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, DriverError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut attempts = Attempts::within(call.deadline);
        loop {
            let outcome = self.attempt(&attempts, message.clone(), &send).await;
            if let Some(answer) = self.settle(call, path, &mut attempts, outcome).await? {
                return Ok(answer);
            }
        }
    }

    async fn attempt<Q, A, F>(
        &self,
        attempts: &Attempts,
        message: Q,
        send: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, Fault>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        self.gate().pass(attempts.deadline()).await?;
        let mut request = Request::new(message);
        request.set_timeout(attempts.remaining());
        // On the heap: inline, each caller's future would be larger by the whole of a call's.
        let answer = Box::pin(send(Client::new(self.connections().control()), request));
        Ok(within(attempts.deadline(), answer).await??.into_inner())
    }

    /// [`Attempts::settle`], with a fault as the caller of the call sees it.
    pub(super) async fn settle<A>(
        &self,
        call: Call,
        path: &Path,
        attempts: &mut Attempts,
        outcome: Result<A, Fault>,
    ) -> Result<Option<A>, DriverError> {
        if let Err(fault) = &outcome {
            self.note(fault);
        }
        let settled = attempts.settle(outcome).await;
        settled.map_err(|fault| fault.into_error(call.operation, path, attempts.any_failed()))
    }
}

impl DriverClient {
    fn note(&self, fault: &Fault) {
        if fault.is_loss() {
            self.shared.losses.note();
        }
        if fault.duty == Duty::Configure {
            self.gate().report_unconfigured();
        }
    }
}

fn too_large(call: Call, path: &Path, max: usize) -> DriverError {
    let fault = Fault::found(DriverErrorKind::TooLarge, format!("{max} bytes is the most"));
    fault.into_error(call.operation, path, false)
}
