//! An S3 server for tests, in memory. The protocol, the signatures and the XML are those of the `s3s` library; what its own
//! server on files lacks (steps that are atomic, parts and uploads that can be listed) is why the store behind it is ours.

mod bucket;
mod listing;
mod service;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use driver_testsuite::Launch;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use tokio::task::JoinSet;

use self::bucket::Bucket;

pub(crate) const BUCKET: &str = "registry";
pub(crate) const ACCESS_KEY: &str = "AKIATESTSUITE";
pub(crate) const SECRET_KEY: &str = "a-secret-for-tests";
pub(crate) const REGION: &str = "us-east-1";

/// What the server does otherwise than a good one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Quirks {
    /// `If-None-Match` is taken for nothing.
    pub(crate) ignores_conditions: bool,
    /// Every request is answered with this.
    pub(crate) fails: Option<Failure>,
}

/// An answer that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    SlowDown,
    Internal,
    Denied,
    NoBucket,
    Expired,
}

#[derive(Default)]
struct State {
    bucket: Bucket,
    quirks: Quirks,
    /// Bodies break off after so many bytes.
    cut_after: Option<usize>,
    /// How often each operation was asked for.
    requests: BTreeMap<&'static str, usize>,
}

/// A running server, which ends when it is dropped.
pub(crate) struct Server {
    state: Shared,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<State>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// On a free port, with threads of its own.
    pub(crate) fn start() -> Self {
        let runtime = RuntimeBuilder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let state = Shared::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(serve(listener, state.clone()));
        Server { state, address, runtime: Some(runtime) }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The driver on this server, with small parts.
    pub(crate) fn launch(&self) -> Launch {
        Launch::new(env!("CARGO_BIN_EXE_bulkhead-driver-s3"))
            .parameter("regionendpoint", &self.endpoint())
            .parameter("bucket", BUCKET)
            .parameter("accesskey", ACCESS_KEY)
            .parameter("secretkey", SECRET_KEY)
            .parameter("chunksize", "5242880")
    }

    pub(crate) fn set_quirks(&self, quirks: Quirks) {
        self.state.lock().quirks = quirks;
    }

    /// Lets the connection break after so many bytes of each content.
    pub(crate) fn cut_bodies_after(&self, bytes: usize) {
        self.state.lock().cut_after = Some(bytes);
    }

    /// Puts an object past the protocol, as if that had been `age` ago.
    pub(crate) fn put(&self, key: &str, content: &'static str, age: Duration) {
        let pieces = vec![content.into()];
        let etag = bucket::etag(&pieces);
        let object = bucket::Object { modified: SystemTime::now() - age, ..bucket::Object::new(pieces, etag) };
        self.state.lock().bucket.objects.insert(key.to_owned(), object);
    }

    /// The keys of all objects, in order.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.state.lock().bucket.objects.keys().cloned().collect()
    }

    /// The keys of all uploads that were neither completed nor aborted, in order.
    pub(crate) fn uploads(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.state.lock().bucket.uploads.values().map(|upload| upload.key.clone()).collect();
        keys.sort();
        keys
    }

    /// Begins an upload as if that had been `age` ago.
    pub(crate) fn begin_upload(&self, key: &str, age: Duration) {
        let mut state = self.state.lock();
        let id = state.bucket.begin(key);
        if let Some(upload) = state.bucket.uploads.get_mut(&id) {
            upload.begun = SystemTime::now() - age;
        }
    }

    /// How often each operation was asked for since the last time.
    pub(crate) fn take_requests(&self) -> BTreeMap<&'static str, usize> {
        std::mem::take(&mut self.state.lock().requests)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that ends must not wait for connections that nobody uses any more.
        self.runtime.take().map(Runtime::shutdown_background).unwrap_or_default();
    }
}

async fn serve(listener: std::net::TcpListener, state: Shared) {
    let mut service = S3ServiceBuilder::new(state);
    service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let service = service.build();
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let service = service.clone();
        connections.spawn(async move {
            // A client that breaks off is none of the server's business.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
