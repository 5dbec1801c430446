//! A driver whose paths are commands, served within the test on a socket of its own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use driver_kit::{
    Bytes, Capabilities, Content, Durability, Error, ErrorKind, Info, Page, Parameters, Path, ReadRange, Result,
    Server, StorageDriver, WriteSession,
};
use futures::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use storagedriver_proto::v1alpha1::{ConfigureRequest, StatRequest, StorageError};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// What happens at its paths is told beside them.
pub(crate) struct Stub {
    read_only: bool,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// How many calls that hung were dropped.
    dropped: AtomicU64,
    down: AtomicBool,
    /// What happened to sessions, in order.
    events: Mutex<Vec<String>>,
}

impl State {
    fn note(&self, event: impl Into<String>) {
        self.events.lock().unwrap().push(event.into());
    }

    async fn hang(&self) {
        struct Dropped<'a>(&'a AtomicU64);
        impl Drop for Dropped<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let _dropped = Dropped(&self.dropped);
        std::future::pending().await
    }
}

fn info(size: u64) -> Info {
    Info::Content { size, modified: SystemTime::now(), version: "1".to_owned() }
}

impl StorageDriver for Stub {
    const NAME: &'static str = "stub";
    const ENVIRONMENT: &'static [&'static str] = &["STUB_MOOD"];
    type Session = StubSession;

    async fn configure(parameters: &mut Parameters) -> Result<Self> {
        let read_only = parameters.take_parsed("read_only")?.unwrap_or(false);
        Ok(Stub { read_only, state: Arc::default() })
    }

    fn capabilities(&self) -> Capabilities {
        let (descriptors, write_descriptors) = (true, true);
        let plain = Capabilities::new(Durability::Volatile);
        Capabilities { read_only: self.read_only, descriptors, write_descriptors, ..plain }
    }

    async fn probe(&self) -> Result<()> {
        let error = || Error::new(ErrorKind::Unavailable { may_have_happened: false }, "the stub is down");
        if self.state.down.load(Ordering::SeqCst) { Err(error()) } else { Ok(()) }
    }

    async fn stat(&self, path: &Path) -> Result<Info> {
        match path.as_str() {
            "/panic" => panic!("asked to"),
            "/hang" => self.state.hang().await,
            "/dropped" => return Ok(info(self.state.dropped.load(Ordering::SeqCst))),
            "/wordy" => return Err(Error::new(ErrorKind::Internal, "é".repeat(3000)).with_source("a secret place")),
            _ => {}
        }
        Ok(info(0))
    }

    async fn get(&self, _path: &Path, _max: usize) -> Result<(Info, Bytes)> {
        let events = self.state.events.lock().unwrap().join(" ");
        Ok((info(events.len() as u64), events.into()))
    }

    async fn put(&self, path: &Path, _content: Bytes, _if_absent: bool) -> Result<Info> {
        self.state.down.store(path.as_str() == "/down", Ordering::SeqCst);
        Ok(info(0))
    }

    async fn read(&self, path: &Path, _range: ReadRange, _if_version: Option<&str>) -> Result<Content> {
        let state = Arc::clone(&self.state);
        let (size, chunks): (u64, Vec<usize>) = match path.as_str() {
            "/short" => (10, vec![4, 0, 5]),
            "/long" => (10, vec![4, 7]),
            "/uneven" => (1_000_000, vec![1, 0, 700_000, 299_999]),
            _ => (10, vec![4]),
        };
        let head = stream::iter(chunks).map(|size| Ok(Bytes::from(vec![7; size])));
        let stream = match path.as_str() {
            "/panic" => head.chain(stream::once(async { panic!("asked to") })).boxed(),
            "/hang" => {
                let tail = async move {
                    state.hang().await;
                    Ok(Bytes::new())
                };
                head.chain(stream::once(tail)).boxed()
            }
            _ => head.boxed(),
        };
        Ok(Content { info: info(size), stream })
    }

    /// A file that says its path.
    async fn descriptor(&self, path: &Path, if_version: Option<&str>) -> Result<(Info, OwnedFd)> {
        match path.as_str() {
            "/panic" => panic!("asked to"),
            "/hang" => self.state.hang().await,
            "/slow" => tokio::time::sleep(Duration::from_millis(200)).await,
            _ => {}
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(path.as_str().as_bytes()).unwrap();
        match if_version {
            Some(version) if version != "1" => Err(Error::new(ErrorKind::VersionMismatch, "it is 1")),
            _ if path.as_str() == "/prefix" => Ok((Info::Prefix, file.into())),
            _ => Ok((info(path.as_str().len() as u64), file.into())),
        }
    }

    async fn list(&self, _path: &Path, _start_after: Option<&str>, _limit: usize) -> Result<Page> {
        Ok(Page::default())
    }

    async fn rename(&self, _source: &Path, _target: &Path) -> Result<Info> {
        Ok(info(0))
    }

    async fn delete(&self, _path: &Path, _recursive: bool) -> Result<()> {
        self.state.note("delete");
        Ok(())
    }

    /// Offset 9 is refused.
    async fn open(&self, _path: &Path, offset: u64, _target: Option<&Path>) -> Result<StubSession> {
        if offset == 9 {
            return Err(Error::new(ErrorKind::OffsetInvalid { persisted: 3 }, "9 is refused"));
        }
        self.state.note("open");
        Ok(StubSession { state: Arc::clone(&self.state), written: offset })
    }

    /// It takes a while.
    async fn open_descriptor(&self, path: &Path, offset: u64, target: Option<&Path>) -> Result<OwnedFd> {
        self.state.note("file-begins");
        tokio::time::sleep(Duration::from_millis(200)).await;
        drop(self.open(path, offset, target).await?);
        self.state.note("file-ends");
        Ok(tempfile::tempfile().unwrap().into())
    }

    /// Any size but that of the open session is refused.
    async fn commit(
        &self,
        _path: &Path,
        session: Option<&mut StubSession>,
        _target: &Path,
        size: u64,
        _if_absent: bool,
    ) -> Result<Info> {
        let persisted = session.map_or(0, |session| session.written);
        if persisted != size {
            return Err(Error::new(ErrorKind::OffsetInvalid { persisted }, "another size"));
        }
        self.state.note("commit");
        Ok(info(size))
    }
}

/// A session whose writes take a while, and of which `!` panics.
pub(crate) struct StubSession {
    state: Arc<State>,
    written: u64,
}

impl WriteSession for StubSession {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        assert_ne!(&data[..], b"!", "asked to");
        self.state.note("write-begins");
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.state.note("write-ends");
        self.written += data.len() as u64;
        Ok(())
    }

    fn persisted(&self) -> u64 {
        self.written
    }

    async fn flush(&mut self) -> Result<u64> {
        self.state.note("flush");
        Ok(self.written)
    }
}

/// The stub, served until this is dropped.
pub(crate) struct Served {
    pub(crate) stop: CancellationToken,
    pub(crate) ended: tokio::task::JoinHandle<std::io::Result<()>>,
    folder: TempDir,
    _stop_when_dropped: DropGuard,
}

impl Served {
    pub(crate) fn start(server: Server<Stub>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("stub.sock")).unwrap();
        let stop = CancellationToken::new();
        let ended = tokio::spawn(server.serve(listener, stop.clone().cancelled_owned()));
        Served { _stop_when_dropped: stop.clone().drop_guard(), stop, ended, folder }
    }

    /// The stub, configured.
    pub(crate) async fn configured(parameters: &[(&str, &str)]) -> (Self, StorageDriverClient<Channel>) {
        let served = Self::start(Server::new(Bytes::new()));
        let mut client = StorageDriverClient::new(served.connect().await);
        client.configure(configuration(parameters)).await.unwrap();
        (served, client)
    }

    pub(crate) async fn connect(&self) -> Channel {
        let socket = self.folder.path().join("stub.sock");
        let connect = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://localhost").connect_with_connector(connect).await.unwrap()
    }
}

pub(crate) fn parameters(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
    rows.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn configuration(rows: &[(&str, &str)]) -> ConfigureRequest {
    ConfigureRequest { parameters: parameters(rows).into_iter().collect() }
}

pub(crate) fn stat(path: &str) -> StatRequest {
    StatRequest { path: path.to_owned() }
}

/// The typed error of a call that failed.
pub(crate) fn error<T: std::fmt::Debug>(result: Result<T, Status>) -> StorageError {
    from_status(&result.unwrap_err()).expect("a StorageError")
}

/// What must happen at once may take this long, and not for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(15), future).await.expect("within the time")
}

/// Waits until `dropped` calls that hung have been dropped.
pub(crate) async fn until_dropped(client: &mut StorageDriverClient<Channel>, dropped: u64) {
    soon(async {
        while client.stat(stat("/dropped")).await.unwrap().into_inner().info.unwrap().size < dropped {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
