//! A driver whose answers a test writes down beforehand, and whose write sessions have a granularity.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, iter};
use storagedriver_proto::error::to_status;
use storagedriver_proto::v1alpha1::storage_driver_server::{StorageDriver, StorageDriverServer};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::{Kind, Open};
use storagedriver_proto::v1alpha1::{self as wire, StorageError};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

use crate::driver::DriverClient;
use crate::driver::answers::Capabilities;
use crate::driver::channel::Connections;
use crate::driver::descriptors::Descriptors;
use crate::driver::gate::Gate;
use crate::driver::settings::Endpoint;

pub(super) const GRANULARITY: u64 = 1000;

/// What happens on the way, besides what a driver should do.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// The outcomes of the next calls, whatever they are, before they are answered as they should be.
    pub(super) faults: VecDeque<Status>,
    /// The outcomes of the next streams of data, after this many bytes of each.
    pub(super) breaks: VecDeque<(usize, Status)>,
    /// How many bytes too many are acknowledged.
    pub(super) exaggeration: u64,
    /// The names of the calls made.
    pub(super) calls: Vec<&'static str>,
    /// The content of every path.
    pub(super) stored: Bytes,
    /// What the one session has received, and how much of it is persisted.
    pub(super) session: Vec<u8>,
    pub(super) persisted: usize,
}

pub(super) fn failure(reason: Reason) -> Status {
    to_status(&StorageError { reason: reason.into(), ..Default::default() }, "as the test has it")
}

pub(super) fn transport_fault() -> Status {
    Status::unknown("transport error")
}

#[derive(Clone)]
pub(super) struct Fake {
    script: Arc<Mutex<Script>>,
}

/// A fake behind a real socket, and a client of it.
pub(super) struct Stage {
    pub(super) client: DriverClient,
    script: Arc<Mutex<Script>>,
    _server: AbortOnDropHandle<()>,
    _folder: TempDir,
}

pub(super) fn service(script: &Arc<Mutex<Script>>) -> StorageDriverServer<Fake> {
    StorageDriverServer::new(Fake { script: Arc::clone(script) })
}

/// A client to which the driver at `endpoint` is up.
pub(super) fn client_of(endpoint: &Endpoint) -> DriverClient {
    let gate = Arc::new(Gate::new());
    gate.open(Capabilities { granularity: GRANULARITY, ..Capabilities::NONE }, None, 0);
    DriverClient::new(Connections::to(endpoint).unwrap(), Descriptors::of(endpoint, true), gate, false)
}

impl Stage {
    pub(super) fn set(script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("fake.sock");
        let listener = UnixListenerStream::new(UnixListener::bind(&socket).unwrap());
        let script = Arc::new(Mutex::new(script));
        let service = service(&script);
        let serving = tonic::transport::Server::builder().add_service(service).serve_with_incoming(listener);
        let server = AbortOnDropHandle::new(tokio::spawn(async move { serving.await.unwrap() }));
        let client = client_of(&Endpoint::Unix(socket));
        Stage { client, script, _server: server, _folder: folder }
    }

    pub(super) fn calls(&self) -> Vec<&'static str> {
        self.script.lock().unwrap().calls.clone()
    }

    pub(super) fn stored(&self) -> Bytes {
        self.script.lock().unwrap().stored.clone()
    }

    pub(super) fn follow_with(&self, fault: Status) {
        self.script.lock().unwrap().faults.push_back(fault);
    }
}

impl Script {
    fn info(&self) -> Option<wire::Info> {
        let size = self.stored.len() as u64;
        Some(wire::Info {
            size,
            modified: Some(prost_types::Timestamp::default()),
            version: "1".into(),
            is_prefix: false,
        })
    }

    fn open(&mut self, open: &Open) -> u64 {
        let offset = usize::try_from(open.offset).unwrap();
        assert!(offset <= self.persisted && open.offset.is_multiple_of(GRANULARITY), "opened at {offset}");
        self.session.truncate(offset);
        self.persisted = offset;
        open.offset
    }

    /// Persists what the granularity allows, and tells how much that is.
    fn persist(&mut self) -> u64 {
        let whole = self.session.len() as u64 / GRANULARITY * GRANULARITY;
        self.persisted = usize::try_from(whole).unwrap();
        whole + self.exaggeration
    }

    /// The next message of a write, and its answer; with the status the stream ends.
    fn take(
        &mut self,
        message: Kind,
        room: &mut Option<(usize, Status)>,
    ) -> Result<Option<wire::WriteResponse>, Status> {
        match message {
            Kind::Open(open) => Ok(Some(wire::WriteResponse { persisted: self.open(&open), flushed: false })),
            Kind::Flush(_) => Ok(Some(wire::WriteResponse { persisted: self.persist(), flushed: true })),
            Kind::Data(data) => {
                self.session.extend_from_slice(&data);
                let persisted = self.persist();
                match room.take_if(|(left, _)| *left < data.len()) {
                    Some((_, status)) => Err(self.forget(status)),
                    None => {
                        if let Some((left, _)) = room {
                            *left -= data.len()
                        }
                        Ok(Some(wire::WriteResponse { persisted, flushed: false }))
                    }
                }
            }
        }
    }

    /// The death of the process: what is not persisted is gone.
    fn forget(&mut self, status: Status) -> Status {
        let persisted = self.persisted;
        self.session.truncate(persisted);
        status
    }
}

impl Fake {
    fn call(&self, name: &'static str) -> Result<std::sync::MutexGuard<'_, Script>, Status> {
        let mut script = self.script.lock().unwrap();
        script.calls.push(name);
        match script.faults.pop_front() {
            Some(fault) => Err(fault),
            None => Ok(script),
        }
    }
}

fn answer<T>(message: T) -> Result<Response<T>, Status> {
    Ok(Response::new(message))
}

#[tonic::async_trait]
impl StorageDriver for Fake {
    async fn configure(&self, _: Request<wire::ConfigureRequest>) -> Result<Response<wire::ConfigureResponse>, Status> {
        self.call("configure").map(|_| Response::new(wire::ConfigureResponse::default()))
    }

    async fn stat(&self, _: Request<wire::StatRequest>) -> Result<Response<wire::StatResponse>, Status> {
        let script = self.call("stat")?;
        answer(wire::StatResponse { info: script.info() })
    }

    async fn get(&self, _: Request<wire::GetRequest>) -> Result<Response<wire::GetResponse>, Status> {
        let script = self.call("get")?;
        answer(wire::GetResponse { info: script.info(), content: script.stored.clone() })
    }

    async fn put(&self, request: Request<wire::PutRequest>) -> Result<Response<wire::PutResponse>, Status> {
        self.call("put")?.stored = request.into_inner().content;
        answer(wire::PutResponse::default())
    }

    type ReadStream = BoxStream<'static, Result<wire::ReadResponse, Status>>;

    async fn read(&self, request: Request<wire::ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let mut script = self.call("read")?;
        let wire::ReadRequest { path: _, offset, length, if_version } = request.into_inner();
        let resumed = script.calls.iter().filter(|call| **call == "read").count() > 1;
        assert_eq!(if_version, if resumed { "1" } else { "" });
        let all = script.stored.slice(usize::try_from(offset).unwrap()..);
        let length = length.map_or(all.len(), |length| all.len().min(usize::try_from(length).unwrap()));
        let broken = script.breaks.pop_front();
        let data = all.slice(..broken.as_ref().map_or(length, |(bytes, _)| length.min(*bytes)));
        let end = broken.map(|(_, status)| Err(status));
        answer(iter([Ok(wire::ReadResponse { info: script.info(), data })].into_iter().chain(end)).boxed())
    }

    async fn list(&self, _: Request<wire::ListRequest>) -> Result<Response<wire::ListResponse>, Status> {
        self.call("list").map(|_| Response::new(wire::ListResponse::default()))
    }

    type WalkStream = BoxStream<'static, Result<wire::WalkResponse, Status>>;

    /// Walks over nine contents below the path, three in a message.
    async fn walk(&self, request: Request<wire::WalkRequest>) -> Result<Response<Self::WalkStream>, Status> {
        let mut script = self.call("walk")?;
        let wire::WalkRequest { path, start_after } = request.into_inner();
        let paths = (1..=9).map(|number| format!("{path}/{number}")).filter(|path| *path > start_after);
        let entry = |path| wire::walk_response::Entry { path, info: script.info() };
        let entries: Vec<_> = paths.map(entry).collect();
        let messages: Vec<_> =
            entries.chunks(3).map(|some| Ok(wire::WalkResponse { entries: some.to_vec() })).collect();
        let broken = script.breaks.pop_front();
        let messages = messages.into_iter().take(broken.as_ref().map_or(usize::MAX, |(messages, _)| *messages));
        answer(iter(messages.chain(broken.map(|(_, status)| Err(status)))).boxed())
    }

    async fn r#move(&self, _: Request<wire::MoveRequest>) -> Result<Response<wire::MoveResponse>, Status> {
        self.call("move").map(|_| Response::new(wire::MoveResponse::default()))
    }

    async fn delete(&self, _: Request<wire::DeleteRequest>) -> Result<Response<wire::DeleteResponse>, Status> {
        self.call("delete").map(|_| Response::new(wire::DeleteResponse {}))
    }

    async fn redirect_url(
        &self,
        _: Request<wire::RedirectUrlRequest>,
    ) -> Result<Response<wire::RedirectUrlResponse>, Status> {
        self.call("redirect").map(|_| Response::new(wire::RedirectUrlResponse::default()))
    }

    type WriteStream = ReceiverStream<Result<wire::WriteResponse, Status>>;

    async fn write(
        &self,
        request: Request<Streaming<wire::WriteRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let mut room = self.call("write")?.breaks.pop_front();
        let (answers, stream) = mpsc::channel(4);
        let (mut messages, script) = (request.into_inner(), Arc::clone(&self.script));
        tokio::spawn(async move {
            while let Ok(Some(wire::WriteRequest { kind: Some(kind) })) = messages.message().await {
                let outcome = script.lock().unwrap().take(kind, &mut room).transpose();
                let Some(outcome) = outcome else { continue };
                let ended = outcome.is_err();
                if answers.send(outcome).await.is_err() || ended {
                    return;
                }
            }
        });
        answer(ReceiverStream::new(stream))
    }

    async fn commit(&self, request: Request<wire::CommitRequest>) -> Result<Response<wire::CommitResponse>, Status> {
        let mut script =
            self.call("commit").inspect_err(|_| drop(self.script.lock().unwrap().forget(transport_fault())))?;
        if script.session.len() as u64 != request.into_inner().size {
            let persisted = script.persisted as u64;
            let error = StorageError { reason: Reason::OffsetInvalid.into(), persisted, ..Default::default() };
            return Err(to_status(&error, "not all of it is here"));
        }
        script.stored = std::mem::take(&mut script.session).into();
        answer(wire::CommitResponse::default())
    }
}
