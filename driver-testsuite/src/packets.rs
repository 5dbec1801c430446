//! Asking for descriptors packet by packet: what a registry would send, and what it never would.
//!
//! The runtime has no sockets of type SOCK_SEQPACKET, but its stream sockets can hold one and wait for it; nothing is
//! read or written through those. It knows the form of requests and answers, and nothing of stores.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;
use rustix::fs::{FileType, OFlags, Stat, fcntl_getfl, fstat, ftruncate};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg, sendmsg, socket_with,
};
use storagedriver_proto::environment::DESCRIPTOR_SUFFIX;
use storagedriver_proto::error::to_status;
use storagedriver_proto::limits::PACKET_MAX;
use storagedriver_proto::v1alpha1::descriptor_response::Kind;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::Open;
use storagedriver_proto::v1alpha1::{DescriptorRequest, DescriptorResponse, Info, StorageError};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::Status;

use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, not_offered, refused, same_bytes};
use crate::journal::Journal;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// More descriptors than any answer has; and more than a driver is sent with a request.
const DESCRIPTORS_MAX: usize = 16;

/// Connections that wait for a driver.
const BACKLOG: i32 = 1024;

/// The path of the descriptor socket beside the socket of the calls.
pub(crate) fn beside(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(DESCRIPTOR_SUFFIX);
    path.into()
}

/// A listening descriptor socket, for a driver to inherit.
pub(crate) fn listen(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// One connection to a descriptor socket.
pub(crate) struct Asker {
    socket: UnixStream,
    journal: Journal,
}

/// What came in one packet.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Content that was handed over as an open file.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) info: Info,
    pub(crate) file: File,
}

impl Asker {
    /// A connection to the driver of `client`, which must have declared that it hands descriptors over.
    pub(crate) async fn of(client: &Client) -> Outcome<Self> {
        if !client.capabilities().descriptors {
            return not_offered("descriptors");
        }
        Self::at(client).await
    }

    /// A connection to the driver of `client`, which must have a descriptor socket.
    pub(crate) async fn at(client: &Client) -> Outcome<Self> {
        match Self::connect(client.descriptor_socket(), client.journal()).await {
            Ok(asker) => Ok(asker),
            Err(problem) => {
                broken(format!("descriptors are declared, and the descriptor socket cannot be met: {problem}"))
            }
        }
    }

    pub(crate) async fn connect(path: &Path, journal: &Journal) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let connecting = tokio::task::spawn_blocking(move || -> io::Result<OwnedFd> {
            let socket = socket()?;
            connect(&socket, &address)?;
            Ok(socket)
        });
        let socket = StdStream::from(timeout(PATIENCE, connecting).await???);
        socket.set_nonblocking(true)?;
        Ok(Asker { socket: UnixStream::from_std(socket)?, journal: journal.clone() })
    }

    /// Sends a packet of any kind.
    pub(crate) async fn send(&self, packet: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            Ok(sendmsg(&self.socket, &[IoSlice::new(packet)], &mut control, SendFlags::NOSIGNAL)?)
        };
        self.socket.async_io(Interest::WRITABLE, send).await.map(drop)
    }

    /// Asks, and does not wait for the answer.
    pub(crate) async fn request(&self, path: &str, if_version: &str) -> io::Result<()> {
        self.journal.count();
        self.journal.message("Descriptor", path.to_owned(), "sent");
        self.send(&request(path, if_version), &[]).await
    }

    /// The next answer; `None` at the end of the connection.
    pub(crate) async fn answer(&self) -> Outcome<Option<Answer>> {
        let Ok(received) = timeout(PATIENCE, self.socket.async_io(Interest::READABLE, || receive(&self.socket))).await
        else {
            return broken(format!("a request for a descriptor is not answered within {PATIENCE:?}"));
        };
        let received = match received {
            Err(reset) if reset.kind() == io::ErrorKind::ConnectionReset => None,
            received => received?,
        };
        let Some((packet, descriptors)) = received else { return Ok(None) };
        ensure(packet.len() <= PACKET_MAX, || format!("an answer has {} bytes", packet.len()))?;
        match DescriptorResponse::decode(&packet[..]) {
            Ok(DescriptorResponse { kind: Some(kind) }) => {
                self.journal.message("Descriptor", format!("{} descriptors", descriptors.len()), told(&kind));
                Ok(Some(Answer { kind, descriptors }))
            }
            Ok(empty) => broken(format!("an answer says nothing: {empty:?}")),
            Err(problem) => broken(format!("an answer is no DescriptorResponse: {problem}")),
        }
    }

    /// The next answer, which there must be: content, or the status that a call would have failed with.
    pub(crate) async fn outcome(&self) -> Outcome<Result<Handed, Status>> {
        let Some(Answer { kind, mut descriptors }) = self.answer().await? else {
            return broken("the connection ended without an answer");
        };
        match (kind, descriptors.pop()) {
            (Kind::Info(info), Some(descriptor)) if descriptors.is_empty() => {
                Ok(Ok(Handed { info, file: descriptor.into() }))
            }
            (kind @ (Kind::Info(_) | Kind::Opened(_)), last) => {
                let count = descriptors.len() + usize::from(last.is_some());
                broken(format!("{count} descriptors come with {}", told(&kind)))
            }
            (Kind::Failure(_), Some(_)) => broken("a descriptor comes with a failure"),
            (Kind::Failure(failure), None) => Ok(Err(to_status(&failure.error.unwrap_or_default(), &failure.message))),
        }
    }

    /// The next answer, which must be content.
    pub(crate) async fn handed(&self) -> Outcome<Handed> {
        let handed = self.outcome().await??;
        handed.check()?;
        Ok(handed)
    }

    /// Asks for the content at `path`, and has it.
    pub(crate) async fn ask(&self, path: &str) -> Outcome<Handed> {
        self.request(path, "").await?;
        self.handed().await
    }

    /// Asks for what cannot be had, for `reason`.
    pub(crate) async fn refused(&self, path: &str, if_version: &str, reason: Reason) -> Outcome {
        self.request(path, if_version).await?;
        let what = format!("a descriptor of {path:?}");
        let error = refused(&what, self.outcome().await?, reason)?;
        equal(&format!("{what}: the path that the failure tells"), error.path.as_str(), path)
    }

    /// Asks for the file of the session at `path`, opened at `offset`.
    pub(crate) async fn open(&self, path: &str, offset: u64) -> Outcome<Result<File, Status>> {
        let open = Open { path: path.to_owned(), offset, target: String::new() };
        self.journal.count();
        self.journal.message("Descriptor", format!("open of {path} at {offset}"), "sent");
        self.send(&DescriptorRequest { open: Some(open), ..DescriptorRequest::default() }.encode_to_vec(), &[]).await?;
        match self.answer().await? {
            None => broken("the connection ended without an answer"),
            Some(Answer { kind: Kind::Failure(failure), descriptors }) if descriptors.is_empty() => {
                Ok(Err(to_status(&failure.error.unwrap_or_default(), &failure.message)))
            }
            Some(Answer { kind: Kind::Opened(opened), descriptors }) if descriptors.len() == 1 => {
                equal("what is persisted of a session when it is opened", opened.persisted, offset)?;
                equal("whether the answer to `open` is one to a flush", opened.flushed, false)?;
                let file = descriptors.into_iter().next().map(File::from);
                let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
                check_writable(&file, offset).map(|()| Ok(file))
            }
            Some(Answer { kind, descriptors }) => {
                broken(format!("{} descriptors come with {}", descriptors.len(), told(&kind)))
            }
        }
    }

    /// The file of the session at `path`, which there must be.
    pub(crate) async fn opened(&self, path: &str, offset: u64) -> Outcome<File> {
        Ok(self.open(path, offset).await??)
    }

    /// Asks for the file of a session that cannot be had, for `reason`.
    pub(crate) async fn open_refused(&self, path: &str, offset: u64, reason: Reason) -> Outcome<StorageError> {
        let what = format!("the file of the session {path:?} at {offset}");
        let error = refused(&what, self.open(path, offset).await?, reason)?;
        equal(&format!("{what}: the path that the failure tells"), error.path.as_str(), path)?;
        Ok(error)
    }

    /// The connection ends, without an answer to what was sent last.
    pub(crate) async fn ends(&self, what: &str) -> Outcome {
        match self.answer().await? {
            None => Ok(()),
            Some(answer) => broken(format!("{what} is answered: {answer:?}")),
        }
    }
}

impl Handed {
    /// It is what a registry believes: a regular file of the size told, opened for reading and nothing else.
    fn check(&self) -> Outcome {
        let (stat, flags) = look(&self.file)?;
        equal("the size of the file", u64::try_from(stat.st_size).unwrap_or_default(), self.info.size)?;
        let forbidden = flags & (OFlags::RWMODE | OFlags::PATH);
        ensure(forbidden.is_empty(), || format!("a descriptor is opened with {forbidden:?}"))?;
        ensure(self.file.write_at(b"x", 0).is_err(), || "a descriptor can be written to".to_owned())?;
        ensure(ftruncate(&self.file, 0).is_err(), || "a descriptor can be cut".to_owned())
    }

    /// All that can be read of it, at positions.
    pub(crate) fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.info.size).unwrap_or(usize::MAX).saturating_add(64)];
        let mut length = 0;
        loop {
            match self.file.read_at(&mut bytes[length..], length as u64)? {
                0 => break,
                read => length += read,
            }
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    /// A holder reads `wanted`, and finds nothing else.
    pub(crate) fn holds(&self, what: &str, wanted: &[u8]) -> Outcome {
        equal(&format!("{what}: the size told"), self.info.size, wanted.len() as u64)?;
        same_bytes(what, &self.bytes()?, wanted)
    }
}

/// What the kernel says of a descriptor, which must be that of a regular file.
fn look(file: &File) -> Outcome<(Stat, OFlags)> {
    let stat = fstat(file).map_err(io::Error::from)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    ensure(kind == FileType::RegularFile, || format!("a descriptor is that of a {kind:?}"))?;
    Ok((stat, fcntl_getfl(file).map_err(io::Error::from)?))
}

/// It is what a registry believes to be the file of a session opened at `offset`.
fn check_writable(file: &File, offset: u64) -> Outcome {
    let (stat, flags) = look(file)?;
    equal("the size of the file of a session", u64::try_from(stat.st_size).unwrap_or_default(), offset)?;
    ensure(flags.intersects(OFlags::WRONLY | OFlags::RDWR), || "the file of a session cannot be written".to_owned())?;
    let forbidden = flags & (OFlags::APPEND | OFlags::PATH);
    ensure(forbidden.is_empty(), || format!("the file of a session is opened with {forbidden:?}"))
}

/// The packet that asks for `path`.
pub(crate) fn request(path: &str, if_version: &str) -> Vec<u8> {
    let (path, if_version) = (path.to_owned(), if_version.to_owned());
    DescriptorRequest { path, if_version, open: None }.encode_to_vec()
}

fn told(kind: &Kind) -> &'static str {
    match kind {
        Kind::Info(_) => "info received",
        Kind::Failure(_) => "failure received",
        Kind::Opened(_) => "opened received",
    }
}

/// One packet with what came with it; `None` at the end.
fn receive(socket: &UnixStream) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut packet = vec![0; 2 * PACKET_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut packet)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let descriptors = descriptors.collect();
    packet.truncate(received.bytes);
    Ok(Some((packet, descriptors)).filter(|(packet, _)| !packet.is_empty()))
}
