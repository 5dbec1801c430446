//! How the process was started: arguments, environment, and the descriptors that its parent left open for it.

use std::collections::HashMap;
use std::env::{var, var_os};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use storagedriver_proto::environment::{DESCRIPTOR_FD, DESCRIPTOR_SUFFIX, LISTEN_FD, LIVENESS_FD, NONCE, SOCKET};

use crate::fault::Fault;
use crate::{Problem, fault};

/// What a caller of the program wants.
pub(crate) enum Asked {
    /// The table of faults.
    Faults,
    Serve(Launch),
}

/// What the process is given at its start.
pub(crate) struct Launch {
    pub(crate) listener: UnixListener,
    /// Where descriptors are asked for.
    pub(crate) descriptor_listener: Option<OwnedFd>,
    /// The pipe whose other end closes when the registry dies.
    pub(crate) liveness: Option<OwnedFd>,
    pub(crate) nonce: Vec<u8>,
    /// What an operator configured.
    pub(crate) parameters: Option<HashMap<String, String>>,
}

pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Asked, Problem> {
    let (mut faults, mut listen, mut file) = (Vec::new(), None, None);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--faults", None) => return Ok(Asked::Faults),
            ("--fault", Some(name)) => faults.push(name),
            ("--listen", Some(address)) => listen = Some(address),
            ("--config", Some(name)) => file = Some(name),
            _ => return Err("there are --fault NAME, --faults, --listen unix:PATH and --config FILE".into()),
        }
    }
    fault::switch_on(&faults)?;
    let parameters = file.map(|file| operators(Path::new(&file))).transpose()?;
    let launch = Launch {
        listener: listener(listen.as_deref())?,
        descriptor_listener: descriptor_listener(listen.as_deref())?,
        liveness: inherited(LIVENESS_FD)?,
        nonce: nonce()?,
        parameters,
    };
    Ok(Asked::Serve(launch))
}

fn operators(file: &Path) -> Result<HashMap<String, String>, Problem> {
    let text = std::fs::read(file).map_err(|problem| format!("the configuration cannot be read: {problem}"))?;
    serde_json::from_slice(&text)
        .map_err(|problem| format!("the configuration is no object of strings: {problem}").into())
}

fn listener(listen: Option<&str>) -> Result<UnixListener, Problem> {
    if let Some(address) = listen {
        let path = address.strip_prefix("unix:").ok_or("--listen takes unix:PATH")?;
        return Ok(bind(Path::new(path))?);
    }
    if let Some(descriptor) = inherited(LISTEN_FD)? {
        let listener = UnixListener::from(descriptor);
        if let (true, Some(path)) = (Fault::BindsBeside.on(), listener.local_addr()?.as_pathname()) {
            // Nobody listens, but the socket is there.
            drop(bind(&path.with_extension("own"))?);
        }
        if Fault::WaitingDropped.on() {
            listener.set_nonblocking(true)?;
            while listener.accept().is_ok() {}
        }
        return Ok(listener);
    }
    let path = var_os(SOCKET).ok_or_else(|| format!("set {LISTEN_FD} or {SOCKET}, or give --listen unix:PATH"))?;
    Ok(bind(&PathBuf::from(path))?)
}

/// The socket for descriptors, of the kind of the one for calls.
fn descriptor_listener(listen: Option<&str>) -> Result<Option<OwnedFd>, Problem> {
    let mut path = match (listen.and_then(|address| address.strip_prefix("unix:")), var_os(SOCKET)) {
        (Some(path), _) => OsString::from(path),
        (None, _) if var_os(LISTEN_FD).is_some() => return inherited(DESCRIPTOR_FD),
        (None, Some(path)) => path,
        (None, None) => return Ok(None),
    };
    path.push(DESCRIPTOR_SUFFIX);
    if Path::new(&path).symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(&path)?;
    }
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path.as_os_str())?)?;
    rustix::net::listen(&socket, 1024)?;
    Ok(Some(socket))
}

/// Binds `path`. A socket that nobody listens on is what a dead process left there.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let is_socket = path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
    if is_socket && !Fault::DeadSocketKept.on() && UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

/// A descriptor of this process, by its number in the environment, taken as one process takes that of another.
fn inherited(variable: &str) -> Result<Option<OwnedFd>, Problem> {
    let Ok(number) = var(variable) else { return Ok(None) };
    let number = number.parse().map_err(|_| format!("{variable} is not the number of a descriptor"))?;
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let taken = pidfd_getfd(own, number, PidfdGetfdFlags::empty());
    Ok(Some(taken.map_err(|problem| format!("{variable} names no open descriptor: {problem}"))?))
}

fn nonce() -> Result<Vec<u8>, Problem> {
    let text = var(NONCE).unwrap_or_default();
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let (pairs, odd) = digits.as_deref().unwrap_or(&[0]).as_chunks::<2>();
    if !odd.is_empty() {
        return Err(format!("{NONCE} is not hexadecimal").into());
    }
    Ok(pairs.iter().filter_map(|[high, low]| u8::try_from(high << 4 | low).ok()).collect())
}
