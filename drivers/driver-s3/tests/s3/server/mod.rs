//! An S3 server for tests, in memory. The protocol, the signatures and the XML are those of the `s3s` library; what its own
//! server on files lacks (steps that are atomic, parts and uploads that can be listed) is why the store behind it is ours.

mod bucket;
mod front;
mod listing;
mod service;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use driver_testsuite::Launch;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use tokio::task::JoinSet;

use self::bucket::Bucket;
use self::front::{Front, Mishaps};
pub(crate) use self::front::{Key, Keys};

pub(crate) const BUCKET: &str = "registry";
pub(crate) const ACCESS_KEY: &str = "AKIATESTSUITE";
pub(crate) const SECRET_KEY: &str = "a-secret-for-tests";
pub(crate) const REGION: &str = "us-east-1";

/// What the server does otherwise than a good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quirks {
    /// `If-None-Match` is taken for nothing.
    pub(crate) ignores_conditions: bool,
    /// Requests are answered with this, once so many were answered as they should be.
    pub(crate) fails: Option<Failure>,
    pub(crate) fails_after: usize,
    /// And then for so many times.
    pub(crate) fails_times: usize,
}

impl Default for Quirks {
    fn default() -> Self {
        Quirks { ignores_conditions: false, fails: None, fails_after: 0, fails_times: usize::MAX }
    }
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
    front: Front,
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
        let server = Server { state, address, runtime: Some(runtime) };
        server.admit(Key { access: ACCESS_KEY.into(), secret: SECRET_KEY.into(), ..Key::default() });
        server
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The driver on this server, with small parts.
    pub(crate) fn launch(&self) -> Launch {
        self.launch_without_keys().parameter("accesskey", ACCESS_KEY).parameter("secretkey", SECRET_KEY)
    }

    /// The same, but the driver has to find its credentials.
    pub(crate) fn launch_without_keys(&self) -> Launch {
        Launch::new(env!("CARGO_BIN_EXE_bulkhead-driver-s3"))
            .parameter("regionendpoint", &self.endpoint())
            .parameter("bucket", BUCKET)
            .parameter("chunksize", "5242880")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Those that are let in.
    pub(crate) fn keys_known(&self) -> Keys {
        Arc::clone(&self.state.lock().front.keys)
    }

    pub(crate) fn admit(&self, key: Key) {
        self.keys_known().lock().unwrap_or_else(PoisonError::into_inner).push(key);
    }

    /// The access keys that were seen since the last time, each once for all requests in a row.
    pub(crate) fn take_signers(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().front.signers)
    }

    /// Lets the server's clock be ahead by so many seconds.
    pub(crate) fn set_clock(&self, ahead: i64) {
        self.state.lock().front.ahead = ahead;
    }

    /// Answers this share of the requests with failures, by a chance that the seed repeats.
    pub(crate) fn begin_mishaps(&self, seed: u64, share: f64) {
        self.state.lock().front.mishaps = Some(Mishaps::new(seed, share));
    }

    /// Answers properly again; how many it did not.
    pub(crate) fn end_mishaps(&self) -> usize {
        self.state.lock().front.mishaps.take().map_or(0, |mishaps| mishaps.happened)
    }

    pub(crate) fn set_quirks(&self, quirks: Quirks) {
        self.state.lock().quirks = quirks;
    }

    /// Ends all quirks; what is left of them.
    pub(crate) fn take_quirks(&self) -> Quirks {
        std::mem::take(&mut self.state.lock().quirks)
    }

    /// Removes the objects whose keys begin with `prefix`, past the protocol.
    pub(crate) fn remove(&self, prefix: &str) {
        self.state.lock().bucket.objects.retain(|key, _| !key.starts_with(prefix));
    }

    /// Lets the connection break after so many bytes of each content.
    pub(crate) fn cut_bodies_after(&self, bytes: usize) {
        self.state.lock().cut_after = Some(bytes);
    }

    /// Puts an object past the protocol, as if that had been `age` ago.
    pub(crate) fn put(&self, key: &str, content: impl Into<Bytes>, age: Duration) {
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

    /// How often each operation was asked for since the last time, but for looks whether the bucket is there.
    pub(crate) fn take_requests(&self) -> BTreeMap<&'static str, usize> {
        let mut requests = std::mem::take(&mut self.state.lock().requests);
        requests.remove(service::LOOK);
        requests
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that ends must not wait for connections that nobody uses any more.
        self.runtime.take().map(Runtime::shutdown_background).unwrap_or_default();
    }
}

async fn serve(listener: std::net::TcpListener, state: Shared) {
    let mut service = S3ServiceBuilder::new(state.clone());
    service.set_auth(state.clone());
    // The clock that counts is ours.
    let mut config = S3Config::default();
    config.presigned_url_max_skew_time_secs = u32::MAX;
    service.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    let service = service.build();
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (state, service) = (state.clone(), service.clone());
        let service = service_fn(move |request| front::answer(state.clone(), service.clone(), request));
        connections.spawn(async move {
            // A client that breaks off is none of the server's business.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
