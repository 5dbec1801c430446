//! The calls: each finds the configured store, checks its paths, works on a thread of its own, and answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::stream::BoxStream;
use storagedriver_proto::Path;
use storagedriver_proto::limits::{GRANULARITY_MAX, INLINE_MAX, PAGE_MAX};
use storagedriver_proto::v1alpha1::storage_driver_server::StorageDriver;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{self as pb, Capabilities};
use tokio::sync::RwLock;
use tonic::{Request, Response, Status, Streaming};

use crate::configuration::Settings;
use crate::failure::{Result, failure};
use crate::fault::Fault;
use crate::log;
use crate::paths;
use crate::redirect::Redirects;
use crate::store::Store;
use crate::streams;

/// What a gRPC library takes as one message, unless it is told otherwise.
pub(crate) const MESSAGE_MAX: usize = 4 << 20;

/// Who configured the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Operator,
    Registry,
}

/// A store that is open.
pub(crate) struct Opened {
    parameters: HashMap<String, String>,
    origin: Origin,
    pub(crate) capabilities: Capabilities,
    redirects: Option<Redirects>,
    pub(crate) store: Arc<Store>,
    /// How often Configure was repeated.
    repeats: AtomicU64,
}

/// The store, once there is one.
#[derive(Default)]
pub(crate) struct State {
    has_descriptor_socket: bool,
    opened: RwLock<Option<Arc<Opened>>>,
    failed: AtomicBool,
}

impl State {
    pub(crate) fn new(has_descriptor_socket: bool) -> Self {
        State { has_descriptor_socket, ..State::default() }
    }

    pub(crate) async fn configure(&self, parameters: HashMap<String, String>, origin: Origin) -> Result<Capabilities> {
        let mut opened = self.opened.write().await;
        if let Some(opened) = &*opened {
            return opened.again(&parameters);
        }
        if Fault::SecretLogged.on() {
            log(&format!("the parameters are {parameters:?}"));
        }
        if Fault::FailedConfigureSticks.on() && self.has_failed() {
            return Err(failure(Reason::ConfigInvalid, "a Configure failed before"));
        }
        let mut settings = Settings::read(&parameters).inspect_err(|_| self.failed.store(true, Ordering::Relaxed))?;
        settings.capabilities.descriptors &= self.has_descriptor_socket || Fault::DescriptorsWithoutSocket.on();
        let is_alone = !settings.capabilities.shared || Fault::FileOfShared.on();
        settings.capabilities.write_descriptors &= self.has_descriptor_socket && is_alone;
        let capabilities = settings.capabilities;
        let secret = settings.secret.clone();
        let store = Arc::new(blocking(move || Store::open(settings)).await?);
        let redirects =
            if capabilities.redirect { Some(Redirects::start(Arc::clone(&store), secret).await?) } else { None };
        let repeats = AtomicU64::new(0);
        *opened = Some(Arc::new(Opened { parameters, origin, capabilities, redirects, store, repeats }));
        Ok(told(capabilities))
    }

    /// Whether a Configure has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) async fn opened(&self) -> Result<Arc<Opened>> {
        let opened = self.opened.read().await.clone();
        let reason = match Reason::NotConfigured {
            _ if Fault::UnconfiguredNotFound.on() => Reason::NotFound,
            _ if Fault::FailedConfigureTold.on() && self.has_failed() => Reason::ConfigInvalid,
            reason => reason,
        };
        opened.ok_or_else(|| failure(reason, "Configure comes first"))
    }

    /// Whether the store can be used now.
    pub(crate) async fn answers(&self) -> bool {
        let Ok(opened) = self.opened().await else { return false };
        blocking(move || opened.store.probe()).await.is_ok()
    }
}

/// What is told of what the store can do.
fn told(capabilities: Capabilities) -> Capabilities {
    let mut told = capabilities;
    if Fault::GranularityBeyondLimit.on() {
        told.granularity = GRANULARITY_MAX + 1;
    }
    told.read_only &= !Fault::ReadOnlyUndeclared.on();
    told
}

impl Opened {
    fn again(&self, parameters: &HashMap<String, String>) -> Result<Capabilities> {
        let is_operators = self.origin == Origin::Operator && parameters.is_empty() && !Fault::OperatorForgotten.on();
        let is_same = *parameters == self.parameters && !Fault::RepeatRefused.on();
        if is_operators || is_same || Fault::OthersAccepted.on() {
            let factor = 1 + self.repeats.fetch_add(1, Ordering::Relaxed) % 2;
            let factor = if Fault::CapabilitiesChange.on() { factor } else { 1 };
            let granularity = self.capabilities.granularity * factor;
            return Ok(told(Capabilities { granularity, ..self.capabilities }));
        }
        Err(failure(Reason::ConfigInvalid, "the store is configured already, with other parameters"))
    }

    fn check_writable(&self) -> Result<()> {
        if self.capabilities.read_only && !Fault::ReadOnlyWrites.on() {
            return Err(failure(Reason::ReadOnly, "the store takes no changes"));
        }
        Ok(())
    }

    fn check_if_absent(&self, wanted: bool) -> Result<()> {
        if wanted && Fault::DeclaredUnsupported.on() {
            return Err(failure(Reason::Unsupported, "the store does not offer if_absent after all"));
        }
        if wanted && !self.capabilities.if_absent && !Fault::UndeclaredIgnored.on() {
            return Err(failure(Reason::Unsupported, "the store does not offer if_absent"));
        }
        Ok(())
    }
}

/// Runs what may block on a thread of its own; it ends also when nobody waits for it any more.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(failure(Reason::Internal, "the driver failed")),
    }
}

/// A path that List and Walk take.
pub(crate) fn any_path(text: &str) -> Result<Path> {
    let text = &*paths::misread(text)?;
    Path::parse(text).map_err(|problem| failure(Reason::PathInvalid, problem.to_string()))
}

/// A path of content.
pub(crate) fn content_path(text: &str) -> Result<Path> {
    let path = any_path(text)?;
    if path.is_root() && !Fault::RootAccepted.on() {
        Err(failure(Reason::PathInvalid, "content has a path below /"))
    } else {
        Ok(path)
    }
}

pub(crate) struct Service {
    state: Arc<State>,
}

impl Service {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Service { state }
    }

    /// Reads: `work` gets the store.
    async fn read<T: Send + 'static>(&self, work: impl FnOnce(&Arc<Store>) -> Result<T> + Send + 'static) -> Result<T> {
        let opened = self.state.opened().await?;
        opened.store.wait_for_readers().await;
        let place = opened.store.place_among_calls().await;
        let outcome = blocking(move || work(&opened.store)).await;
        place.give_back();
        outcome
    }

    /// Changes: the store must take them.
    async fn change<T: Send + 'static>(
        &self,
        if_absent: bool,
        work: impl FnOnce(&Arc<Store>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let opened = self.state.opened().await?;
        opened.check_writable()?;
        opened.check_if_absent(if_absent)?;
        opened.store.wait_for_readers().await;
        blocking(move || work(&opened.store)).await
    }

    async fn redirect(&self, request: pb::RedirectUrlRequest) -> Result<String> {
        let opened = self.state.opened().await?;
        if opened.redirects.is_none() && Fault::UndeclaredIgnored.on() {
            return Ok(String::new());
        }
        let redirects =
            opened.redirects.as_ref().ok_or_else(|| failure(Reason::Unsupported, "the store gives no URLs"))?;
        let path = content_path(&request.path)?;
        let (store, at) = (Arc::clone(&opened.store), path.clone());
        let there = blocking(move || store.content(&at)).await;
        if !Fault::UrlOfNothing.on() {
            there?;
        }
        let url = redirects.url(&path, &request)?;
        if Fault::UrlLogged.on() {
            log(&format!("redirected to {url}"));
        }
        Ok(url)
    }
}

/// Turns the outcome of a call into its answer; `path` is the path as sent.
fn reply<T, A>(
    path: &str,
    outcome: Result<T>,
    answer: impl FnOnce(T) -> A,
) -> std::result::Result<Response<A>, Status> {
    match outcome {
        Ok(value) => Ok(Response::new(answer(value))),
        Err(failure) => Err(failure.status(path)),
    }
}

type Reply<T> = std::result::Result<Response<T>, Status>;
type Messages<T> = BoxStream<'static, std::result::Result<T, Status>>;

#[tonic::async_trait]
impl StorageDriver for Service {
    type ReadStream = Messages<pb::ReadResponse>;
    type WalkStream = Messages<pb::WalkResponse>;
    type WriteStream = Messages<pb::WriteResponse>;

    async fn configure(&self, request: Request<pb::ConfigureRequest>) -> Reply<pb::ConfigureResponse> {
        let outcome = self.state.configure(request.into_inner().parameters, Origin::Registry).await;
        reply("", outcome, |capabilities| pb::ConfigureResponse { capabilities: Some(capabilities) })
    }

    async fn stat(&self, request: Request<pb::StatRequest>) -> Reply<pb::StatResponse> {
        let path = request.into_inner().path;
        let at = content_path(&path);
        let outcome = self.read(move |store| store.stat(&at?)).await;
        reply(&path, outcome, |info| pb::StatResponse { info: Some(info) })
    }

    async fn get(&self, request: Request<pb::GetRequest>) -> Reply<pb::GetResponse> {
        let path = request.into_inner().path;
        let at = content_path(&path);
        let outcome = self.read(move |store| store.get(&at?)).await;
        reply(&path, outcome, |(info, content)| pb::GetResponse { info: Some(info), content: content.into() })
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Reply<pb::PutResponse> {
        let pb::PutRequest { path, content, if_absent } = request.into_inner();
        let at = content_path(&path);
        let put = move |store: &Arc<Store>| {
            let at = at?;
            let limit = if Fault::PutLimitLow.on() { INLINE_MAX - 1 } else { INLINE_MAX };
            if content.len() > MESSAGE_MAX && Fault::HugeMessageKills.on() {
                std::process::exit(1);
            }
            if Fault::PutTooLargeCut.on() {
                return store.put(&at, &content[..content.len().min(INLINE_MAX)], if_absent);
            }
            if content.len() > limit && !Fault::PutTooLargeAccepted.on() {
                return Err(failure(Reason::TooLarge, format!("Put takes {INLINE_MAX} bytes")));
            }
            if Fault::PutLate.on() {
                return Ok(store.put_later(&at, content.to_vec()));
            }
            store.put(&at, &content, if_absent)
        };
        reply(&path, self.change(if_absent, put).await, |info| pb::PutResponse { info: Some(info) })
    }

    async fn read(&self, request: Request<pb::ReadRequest>) -> Reply<Self::ReadStream> {
        let request = request.into_inner();
        let path = request.path.clone();
        let outcome = async { streams::read(self.state.opened().await?, request).await };
        reply(&path, outcome.await, |stream| stream)
    }

    async fn list(&self, request: Request<pb::ListRequest>) -> Reply<pb::ListResponse> {
        let pb::ListRequest { path, start_after, limit } = request.into_inner();
        let at = any_path(&path);
        let limit = page_limit(limit);
        let list = move |store: &Arc<Store>| {
            let at = at?;
            check_start_name(&start_after)?;
            store.list(&at, &start_after, limit)
        };
        reply(&path, self.read(list).await, |(entries, more)| pb::ListResponse { entries, more })
    }

    async fn walk(&self, request: Request<pb::WalkRequest>) -> Reply<Self::WalkStream> {
        let pb::WalkRequest { path, start_after } = request.into_inner();
        let outcome = async { streams::walk(self.state.opened().await?, &path, &start_after) };
        reply(&path, outcome.await, |stream| stream)
    }

    async fn r#move(&self, request: Request<pb::MoveRequest>) -> Reply<pb::MoveResponse> {
        let pb::MoveRequest { source, target } = request.into_inner();
        let (from, to) = (content_path(&source), content_path(&target));
        let path = if from.is_ok() && to.is_err() { &target } else { &source };
        let rename = move |store: &Arc<Store>| {
            let (from, to) = (from?, to?);
            let moved = store.rename(&from, &to)?;
            store.move_again(from, to);
            Ok(moved)
        };
        let outcome = self.change(false, rename).await;
        reply(path, outcome, |info| pb::MoveResponse { info: Some(info) })
    }

    async fn delete(&self, request: Request<pb::DeleteRequest>) -> Reply<pb::DeleteResponse> {
        let pb::DeleteRequest { path, recursive } = request.into_inner();
        let at = content_path(&path);
        if let (true, Ok(at), Ok(opened)) =
            (Fault::ReadOnlyDeletes.on(), content_path(&path), self.state.opened().await)
        {
            // Whatever it comes to, the caller is told READ_ONLY.
            let _ = blocking(move || opened.store.delete(&at, recursive)).await;
        }
        let outcome = self.change(false, move |store| store.delete(&at?, recursive)).await;
        reply(&path, outcome, |()| pb::DeleteResponse {})
    }

    async fn redirect_url(&self, request: Request<pb::RedirectUrlRequest>) -> Reply<pb::RedirectUrlResponse> {
        let request = request.into_inner();
        let path = request.path.clone();
        reply(&path, self.redirect(request).await, |url| pb::RedirectUrlResponse { url })
    }

    async fn write(&self, request: Request<Streaming<pb::WriteRequest>>) -> Reply<Self::WriteStream> {
        let opened: Result<_> = async {
            let opened = self.state.opened().await?;
            if !Fault::ReadOnlySessions.on() {
                opened.check_writable()?;
            }
            Ok(opened)
        }
        .await;
        reply("", opened, |opened| streams::write(opened, request.into_inner()))
    }

    async fn commit(&self, request: Request<pb::CommitRequest>) -> Reply<pb::CommitResponse> {
        let pb::CommitRequest { path, target, size, if_absent } = request.into_inner();
        let (from, to) = (content_path(&path), content_path(&target));
        let named = if from.is_ok() && to.is_err() { &target } else { &path };
        let outcome = self.change(if_absent, move |store| store.commit(&from?, &to?, size, if_absent)).await;
        reply(named, outcome, |info| pb::CommitResponse { info: Some(info) })
    }
}

/// How many entries a page has.
fn page_limit(wanted: u32) -> usize {
    match usize::try_from(wanted).unwrap_or(PAGE_MAX) {
        0 if Fault::LimitZeroNone.on() => 0,
        _ if Fault::LimitIgnored.on() => PAGE_MAX,
        wanted if wanted > PAGE_MAX && Fault::PageTooLarge.on() => wanted,
        wanted if (1..=PAGE_MAX).contains(&wanted) => wanted,
        _ => PAGE_MAX,
    }
}

fn check_start_name(name: &str) -> Result<()> {
    if name.is_empty() || Path::is_component(name) {
        return Ok(());
    }
    Err(failure(Reason::PathInvalid, "start_after is a component of a path"))
}
