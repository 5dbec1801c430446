//! The StorageDriver service: each call checked, handed to the driver, and its answer put on the wire.

use std::sync::Arc;

use futures::stream::BoxStream;
use storagedriver_proto::Path;
use storagedriver_proto::limits::INLINE_MAX;
use storagedriver_proto::v1alpha1 as pb;
use storagedriver_proto::v1alpha1::storage_driver_server as server;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::call::{answer, answer_stream, answer_to_the_end, deadline, until};
use crate::check;
use crate::driver::{Info, ReadRange, RedirectMethod, StorageDriver, WriteSession};
use crate::error::{Error, ErrorKind, Result};
use crate::health::Health;
use crate::store::{Opened, Origin, Store};
use crate::{read, walk, wire, write};

/// The service of one store.
pub(crate) struct Service<D: StorageDriver> {
    store: Arc<Store<D>>,
    health: Arc<Health<D>>,
}

type Reply<T> = Result<Response<T>, Status>;

impl<D: StorageDriver> Service<D> {
    pub(crate) fn new(store: Arc<Store<D>>, health: Arc<Health<D>>) -> Self {
        Service { store, health }
    }

    async fn open_read(&self, request: &pb::ReadRequest) -> Result<read::Messages> {
        let opened = self.store.opened()?;
        let path = check::content_path(&request.path)?;
        let range = ReadRange { offset: request.offset, length: request.length };
        let if_version = check::if_version(&request.if_version);
        read::messages(opened.driver.read(&path, range, if_version).await?, range)
    }

    fn open_walk(&self, request: &pb::WalkRequest) -> Result<walk::Walker<D>> {
        let opened = self.store.opened()?;
        let base = check::any_path(&request.path)?;
        let start_after = check::start_path(&request.start_after, &base)?;
        Ok(walk::Walker::new(Arc::clone(opened), base, start_after.as_ref()))
    }
}

#[tonic::async_trait]
impl<D: StorageDriver> server::StorageDriver for Service<D> {
    type ReadStream = BoxStream<'static, Result<pb::ReadResponse, Status>>;
    type WalkStream = BoxStream<'static, Result<pb::WalkResponse, Status>>;
    type WriteStream = BoxStream<'static, Result<pb::WriteResponse, Status>>;

    async fn configure(&self, request: Request<pb::ConfigureRequest>) -> Reply<pb::ConfigureResponse> {
        let parameters = request.into_inner().parameters.into_iter().collect();
        answer("", async {
            let capabilities = self.store.configure(parameters, Origin::Registry).await?;
            self.health.observe().await;
            Ok(pb::ConfigureResponse { capabilities: Some(capabilities.into()) })
        })
        .await
    }

    async fn stat(&self, request: Request<pb::StatRequest>) -> Reply<pb::StatResponse> {
        let pb::StatRequest { path } = request.into_inner();
        answer(&path, async {
            let opened = self.store.opened()?;
            let info = opened.driver.stat(&check::content_path(&path)?).await?;
            Ok(pb::StatResponse { info: Some(info.into()) })
        })
        .await
    }

    async fn get(&self, request: Request<pb::GetRequest>) -> Reply<pb::GetResponse> {
        let pb::GetRequest { path } = request.into_inner();
        answer(&path, async {
            let opened = self.store.opened()?;
            let (info, content) = opened.driver.get(&check::content_path(&path)?, INLINE_MAX).await?;
            Ok(pb::GetResponse { info: Some(info.into()), content })
        })
        .await
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Reply<pb::PutResponse> {
        let pb::PutRequest { path, content, if_absent } = request.into_inner();
        answer(&path, async {
            let opened = self.store.writable()?;
            let target = check::content_path(&path)?;
            check::inline_size(content.len())?;
            opened.check_if_absent(if_absent)?;
            let info = opened.driver.put(&target, content, if_absent).await?;
            Ok(pb::PutResponse { info: Some(info.into()) })
        })
        .await
    }

    async fn read(&self, request: Request<pb::ReadRequest>) -> Reply<Self::ReadStream> {
        let deadline = deadline(request.metadata());
        let request = request.into_inner();
        let messages = answer(&request.path, self.open_read(&request)).await?;
        Ok(messages.map(|messages| until(deadline, answer_stream(request.path, messages))))
    }

    async fn list(&self, request: Request<pb::ListRequest>) -> Reply<pb::ListResponse> {
        let pb::ListRequest { path, start_after, limit } = request.into_inner();
        answer(&path, async {
            let opened = self.store.opened()?;
            let base = check::any_path(&path)?;
            let start_after = check::start_name(&start_after)?;
            let page = opened.driver.list(&base, start_after, check::page_limit(limit)).await?;
            Ok(pb::ListResponse { entries: page.entries.into_iter().map(Into::into).collect(), more: page.more })
        })
        .await
    }

    async fn walk(&self, request: Request<pb::WalkRequest>) -> Reply<Self::WalkStream> {
        let deadline = deadline(request.metadata());
        let request = request.into_inner();
        let walker = self.open_walk(&request).map_err(|error| wire::status(&request.path, &error))?;
        Ok(Response::new(until(deadline, answer_stream(request.path, walker.messages()))))
    }

    async fn r#move(&self, request: Request<pb::MoveRequest>) -> Reply<pb::MoveResponse> {
        let pb::MoveRequest { source, target } = request.into_inner();
        answer(&source, async {
            let opened = self.store.writable()?;
            let info = rename(opened, &check::content_path(&source)?, &check::content_path(&target)?).await?;
            Ok(pb::MoveResponse { info: Some(info.into()) })
        })
        .await
    }

    async fn delete(&self, request: Request<pb::DeleteRequest>) -> Reply<pb::DeleteResponse> {
        let pb::DeleteRequest { path, recursive } = request.into_inner();
        answer(&path, async {
            let opened = self.store.writable()?;
            let doomed = check::content_path(&path)?;
            let _turns = opened.sessions.end(&doomed, recursive).await;
            opened.driver.delete(&doomed, recursive).await?;
            Ok(pb::DeleteResponse {})
        })
        .await
    }

    async fn redirect_url(&self, request: Request<pb::RedirectUrlRequest>) -> Reply<pb::RedirectUrlResponse> {
        let request = request.into_inner();
        answer(&request.path, async {
            let url = redirect_url(self.store.opened()?, &request).await?;
            Ok(pb::RedirectUrlResponse { url: url.unwrap_or_default() })
        })
        .await
    }

    async fn write(&self, request: Request<Streaming<pb::WriteRequest>>) -> Reply<Self::WriteStream> {
        let deadline = deadline(request.metadata());
        let opened = self.store.writable().map_err(|error| wire::status("", &error))?;
        let answers = write::start(Arc::clone(opened), request.into_inner());
        Ok(Response::new(until(deadline, ReceiverStream::new(answers))))
    }

    async fn commit(&self, request: Request<pb::CommitRequest>) -> Reply<pb::CommitResponse> {
        let request = request.into_inner();
        let opened = self.store.writable().map(Arc::clone);
        answer_to_the_end(request.path.clone(), async move {
            let info = commit(&*opened?, &request).await?;
            Ok(pb::CommitResponse { info: Some(info.into()) })
        })
        .await
    }
}

/// Moves content; onto itself it only has to be there.
async fn rename<D: StorageDriver>(opened: &Opened<D>, source: &Path, target: &Path) -> Result<Info> {
    if source != target {
        return opened.driver.rename(source, target).await;
    }
    match opened.driver.stat(source).await? {
        Info::Prefix => Err(Error::new(ErrorKind::NotFound, "there is no content at this path")),
        content => Ok(content),
    }
}

async fn redirect_url<D: StorageDriver>(
    opened: &Opened<D>,
    request: &pb::RedirectUrlRequest,
) -> Result<Option<String>> {
    if !opened.capabilities.redirect {
        return Err(Error::new(ErrorKind::Unsupported, "this store gives no URLs"));
    }
    let path = check::content_path(&request.path)?;
    let expires_in = check::expiry(request.expires_in)?;
    let client_address = Some(request.client_address.as_str()).filter(|address| !address.is_empty());
    opened.driver.redirect_url(&path, RedirectMethod::from(request.method()), expires_in, client_address).await
}

/// Publishes a session. The one that is open here is flushed first, and fenced by success. When that is gone, because
/// another process of a shared store committed or deleted it, the store alone says what became of it.
async fn commit<D: StorageDriver>(opened: &Opened<D>, request: &pb::CommitRequest) -> Result<Info> {
    let path = check::content_path(&request.path)?;
    let target = check::content_path(&request.target)?;
    opened.check_if_absent(request.if_absent)?;
    let mut turn = opened.sessions.turn(&path).await;
    if let Some(open) = turn.as_mut() {
        match open.session.flush().await {
            Err(gone) if gone.kind() == ErrorKind::NotFound => *turn = None,
            flushed => drop(flushed?),
        }
    }
    let session = turn.as_mut().map(|open| &mut open.session);
    let info = opened.driver.commit(&path, session, &target, request.size, request.if_absent).await?;
    *turn = None;
    Ok(info)
}
