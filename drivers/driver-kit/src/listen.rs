//! The listening sockets of the process: adopted from the registry, or bound at a path.
//!
//! It knows nothing of what is said over them.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;

use rustix::fs::Mode;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, listen, socket_with};
use rustix::process::umask;
use tokio::net::UnixListener;

use crate::descriptor::adopt;
use crate::launch::Socket;
use crate::serve::Problem;

/// Connections that wait to be accepted. The kernel has its own limit, which may be lower.
const BACKLOG: i32 = 4096;

/// The socket for calls.
pub(crate) fn listen_for_calls(socket: &Socket) -> Result<UnixListener, Problem> {
    let listener = match socket {
        Socket::Inherited(number) => inherited(*number, SocketType::STREAM)
            .map_err(|problem| format!("descriptor {number} is not a listening Unix socket: {problem}"))?,
        Socket::Path(path) => bind(path, SocketType::STREAM)
            .map_err(|problem| format!("the socket {} cannot be bound: {problem}", path.display()))?,
    };
    let listener = StdListener::from(listener);
    listener.set_nonblocking(true)?;
    Ok(UnixListener::from_std(listener)?)
}

/// The socket for descriptors. A driver that cannot bind its own does without: every content can be had through calls.
pub(crate) fn listen_for_descriptors(socket: Option<&Socket>) -> Result<Option<OwnedFd>, Problem> {
    let path = match socket {
        None => return Ok(None),
        Some(Socket::Inherited(number)) => {
            let adopted = inherited(*number, SocketType::SEQPACKET);
            let refuse = |problem| format!("descriptor {number} is not a listening Unix socket for packets: {problem}");
            return Ok(Some(adopted.map_err(refuse)?));
        }
        Some(Socket::Path(path)) => path,
    };
    let bound = bind(path, SocketType::SEQPACKET);
    if let Err(problem) = &bound {
        tracing::warn!(cause = %problem, "there will be no descriptors: {} cannot be bound", path.display());
    }
    Ok(bound.ok())
}

fn inherited(number: RawFd, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = adopt(number)?;
    if !socket_acceptconn(&socket)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    if socket_domain(&socket)? != AddressFamily::UNIX || socket_type(&socket)? != kind {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is of another kind"));
    }
    Ok(socket)
}

/// Binds `path`, for the user of this process alone, replacing the socket that a dead process left there.
fn bind(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    let address = SocketAddrUnix::new(path)?;
    let socket = || socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
    if path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
        if connect(socket()?, &address).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves on it"));
        }
        std::fs::remove_file(path)?;
    }
    let socket = socket()?;
    let usual = umask(Mode::from_raw_mode(0o177));
    let bound = rustix::net::bind(&socket, &address);
    umask(usual);
    bound?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}
