//! The socket the registry listens on: TCP or Unix. It knows nothing of HTTP.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

/// Where to listen, as the operator says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `host:port`; without a host every address of the machine.
    Tcp(String),
    Unix(PathBuf),
}

/// Why nobody can listen there. Its text says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    #[error("{0} is in use by another process: stop that, or choose another address with --addr or http.addr")]
    Taken(Address),
    #[error("this user may not listen on {0}: choose a port above 1023 or a folder that it may write")]
    Forbidden(Address),
    #[error("{0} is not an address of this machine: choose another with --addr or http.addr")]
    NotHere(Address),
    #[error("{0} is not an address: write HOST:PORT, or :PORT for every address of this machine")]
    Malformed(Address),
    #[error("cannot listen on {address}")]
    Other { address: Address, source: io::Error },
}

/// A bound socket.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// The two ends that a connection can have.
pub(super) type Stream = Either<TcpStream, UnixStream>;

/// A peer that says nothing at all for this long is dead, whatever it had asked for.
const DEAD_AFTER: Duration = Duration::from_secs(120);
const PROBE_AFTER: Duration = Duration::from_secs(60);

impl Listener {
    pub(super) async fn bind(address: &Address) -> Result<Self, BindError> {
        let bound = match address {
            Address::Tcp(text) => bind_tcp(text).await.map(Listener::Tcp),
            Address::Unix(path) => bind_unix(path.clone()),
        };
        bound.map_err(|problem| BindError::of(address.clone(), problem))
    }

    pub(super) async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                tune(&stream);
                Ok((Either::Left(stream), Some(peer)))
            }
            Listener::Unix(listener, _) => Ok((Either::Right(listener.accept().await?.0), None)),
        }
    }

    /// The address in use, with the port that the kernel chose for port 0.
    pub(super) fn address(&self) -> Address {
        match self {
            Listener::Tcp(listener) => Address::Tcp(listener.local_addr().map(|a| a.to_string()).unwrap_or_default()),
            Listener::Unix(_, path) => Address::Unix(path.clone()),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _gone_already = std::fs::remove_file(path);
        }
    }
}

/// `:5000` means every address. A machine without IPv6 has none for `[::]`.
async fn bind_tcp(text: &str) -> io::Result<TcpListener> {
    let Some(port) = text.strip_prefix(':') else { return TcpListener::bind(text).await };
    match TcpListener::bind(format!("[::]:{port}")).await {
        Err(problem) if problem.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => {
            TcpListener::bind(format!("0.0.0.0:{port}")).await
        }
        bound => bound,
    }
}

/// Binds a Unix socket over what a dead process left at its path, and never over one that somebody serves.
fn bind_unix(path: PathBuf) -> io::Result<Listener> {
    match BlockingUnixStream::connect(&path) {
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        Err(problem) if problem.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(&path)?,
        Err(_) => {}
    }
    UnixListener::bind(&path).map(|listener| Listener::Unix(listener, path))
}

/// Small answers leave at once, and a peer that vanished does not keep its connection for ever. None of it is vital.
fn tune(stream: &TcpStream) {
    let dead_after = u32::try_from(DEAD_AFTER.as_millis()).unwrap_or(u32::MAX);
    let tuned = stream.set_nodelay(true).and_then(|()| {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, PROBE_AFTER)?;
        Ok(sockopt::set_tcp_user_timeout(stream, dead_after)?)
    });
    if let Err(problem) = tuned {
        tracing::debug!(%problem, "a connection could not be tuned");
    }
}

impl BindError {
    fn of(address: Address, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken(address),
            io::ErrorKind::PermissionDenied => BindError::Forbidden(address),
            io::ErrorKind::AddrNotAvailable => BindError::NotHere(address),
            io::ErrorKind::InvalidInput => BindError::Malformed(address),
            _ => BindError::Other { address, source },
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp(text) => f.write_str(text),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}
