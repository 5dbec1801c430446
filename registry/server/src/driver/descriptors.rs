//! Asking a driver on this host for an open file instead of its bytes (README of the protocol, "Local descriptors").
//!
//! It is a short cut and never a need: whatever goes wrong on it, the same content is asked for by a call.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use storagedriver_proto::error::to_status;
use storagedriver_proto::v1alpha1::descriptor_response::{Failure, Kind};
use storagedriver_proto::v1alpha1::write_request::Open;
use storagedriver_proto::v1alpha1::{DescriptorRequest, DescriptorResponse};
use storagedriver_proto::{Path, environment};
use tokio::time::timeout;

use super::client::DriverClient;
use super::error::{DriverError, DriverErrorKind, Fault};
use super::from_proto;
use super::local_file::LocalFile;
use super::packets::{Connection, Packet};
use super::session_file::SessionFile;
use super::settings::Endpoint;
use super::stream::optional;

/// How long an answer may take, before the content is asked for by a call.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for a session. A driver that stands still may answer late what was given up here, and would fence the
/// stream that was opened instead: so it is waited for until it answers or its process has ended.
const SESSION_PATIENCE: Duration = Duration::from_secs(60);
/// Connections kept for later requests.
const IDLE_MAX: usize = 16;
const NOBODY: u64 = u64::MAX;

/// Where descriptors are asked for.
pub(super) struct Descriptors {
    socket: Option<PathBuf>,
    idle: Mutex<Vec<Connection>>,
    /// The process that broke a promise here, by the number of restarts before it. It is asked no more.
    distrusted: AtomicU64,
}

impl DriverClient {
    /// The content at `path` as an open file; `None` when it is to be had by the other calls only.
    pub(crate) async fn local_file(&self, path: &Path) -> Result<Option<LocalFile>, DriverError> {
        let request = DescriptorRequest { path: path.to_string(), ..DescriptorRequest::default() };
        let file = self.descriptors().have(self.gate().descriptors_of(), &request, |kind, file| match kind {
            Kind::Info(info) => LocalFile::believe(file, path, from_proto::content_info(Some(info))?.size),
            other => Err(Fault::nonsense(format!("{other:?} for content"))),
        });
        file.await.map_err(|fault| fault.into_error("descriptor", path, false))
    }

    /// The write session `staging`, opened at `offset`, as an open file; `None` when it is to be had as a stream only.
    ///
    /// Its holder cannot be fenced. So it is only for a driver that nobody else can ask to open the session anew.
    pub(super) async fn open_session_file(
        &self,
        staging: &Path,
        offset: u64,
        target: Option<&Path>,
    ) -> Result<Option<SessionFile>, DriverError> {
        let process = self.sole_process().filter(|_| self.capabilities().write_descriptors);
        let open = Open { path: staging.to_string(), offset, target: optional(target) };
        let request = DescriptorRequest { open: Some(open), ..DescriptorRequest::default() };
        let file = self.descriptors().have(process, &request, |kind, file| match kind {
            Kind::Opened(opened) if opened.persisted == offset => SessionFile::believe(file, self, staging, offset),
            other => Err(Fault::nonsense(format!("{other:?} for a session opened at {offset}"))),
        });
        file.await.map_err(|fault| fault.into_error("open", staging, false))
    }
}

impl Descriptors {
    /// Of the driver at `endpoint`, when they are `wanted`. Drivers on other hosts have none.
    pub(super) fn of(endpoint: &Endpoint, wanted: bool) -> Self {
        let socket = match endpoint {
            Endpoint::Unix(path) if wanted => {
                let mut name = path.as_os_str().to_owned();
                name.push(environment::DESCRIPTOR_SUFFIX);
                Some(name.into())
            }
            _ => None,
        };
        Descriptors { socket, idle: Mutex::default(), distrusted: AtomicU64::new(NOBODY) }
    }

    /// What `request` gets of the process after so many restarts, if that is worthy of belief; `None` when it is to be had
    /// by the other calls only.
    async fn have<T>(
        &self,
        process: Option<u64>,
        request: &DescriptorRequest,
        believe: impl FnOnce(Kind, OwnedFd) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let Some(restarts) = process else { return Ok(None) };
        if self.socket.is_none() || self.distrusted.load(Ordering::Relaxed) == restarts {
            return Ok(None);
        }
        let patience = if request.open.is_some() { SESSION_PATIENCE } else { PATIENCE };
        let Some(packet) = self.ask(&request.encode_to_vec(), patience).await else { return Ok(None) };
        match understand(packet).and_then(|(kind, file)| believe(kind, file)) {
            Ok(file) => Ok(Some(file)),
            Err(fault) if fault.kind == DriverErrorKind::Protocol => {
                self.distrust(restarts, &fault);
                Ok(None)
            }
            Err(fault) if is_answer(fault.kind) => Err(fault),
            Err(_) => Ok(None),
        }
    }

    /// The answer, from a connection used before or from a new one: a process that has ended took its connections along.
    async fn ask(&self, request: &[u8], patience: Duration) -> Option<Packet> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        for _ in 0..2 {
            let connection = idle.take().map_or_else(|| self.connect(), Ok).ok()?;
            if let Ok(Some(packet)) = timeout(patience, connection.exchange(request)).await.ok()? {
                self.keep(connection);
                return Some(packet);
            }
        }
        None
    }

    fn connect(&self) -> io::Result<Connection> {
        let socket = self.socket.as_deref().ok_or(io::ErrorKind::NotFound)?;
        Connection::open(socket)
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }

    fn distrust(&self, restarts: u64, why: &Fault) {
        tracing::error!(%why, "the driver breaks its word on descriptors, and is asked for none any more");
        self.distrusted.store(restarts, Ordering::Relaxed);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What means the same in the answer to any other call. After other failures that call may do better.
fn is_answer(kind: DriverErrorKind) -> bool {
    use DriverErrorKind::{Corrupt, NotFound, OffsetInvalid, VersionMismatch};
    matches!(kind, NotFound | VersionMismatch | Corrupt | OffsetInvalid { .. })
}

fn understand(packet: Packet) -> Result<(Kind, OwnedFd), Fault> {
    let Packet { bytes, descriptors, is_cut } = packet;
    let answer = DescriptorResponse::decode(&bytes[..]).map_err(|problem| Fault::nonsense(problem.to_string()))?;
    let count = descriptors.len();
    match (answer.kind, <[_; 1]>::try_from(descriptors)) {
        _ if is_cut => Err(Fault::nonsense("the answer is longer than it may be")),
        (Some(kind @ (Kind::Info(_) | Kind::Opened(_))), Ok([descriptor])) => Ok((kind, descriptor)),
        (Some(Kind::Failure(Failure { error, message })), Err(_)) if count == 0 => {
            Err(Fault::from(to_status(&error.unwrap_or_default(), &message)))
        }
        _ => Err(Fault::nonsense(format!("an answer with {count} descriptors"))),
    }
}
