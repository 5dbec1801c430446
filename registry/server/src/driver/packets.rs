//! Connections of packets to a driver's descriptor socket. What the packets say is not known here.
//!
//! The runtime has no sockets of type SOCK_SEQPACKET. But it waits for one as for any other, so its stream sockets hold
//! them here, and nothing is ever read or written through those.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, bind, connect, listen, recvmsg, send, socket_with,
};
use storagedriver_proto::limits::PACKET_MAX;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Connections that wait for a driver which is not there yet.
const BACKLOG: i32 = 1024;
/// One more than any answer has, to notice an answer that has too many.
const DESCRIPTORS_MAX: usize = 2;

/// What a driver sent.
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
    /// More came than there was room for.
    pub(super) is_cut: bool,
}

pub(super) struct Connection(UnixStream);

/// A socket at `path` on which a driver will answer.
pub(super) fn bind_listener(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket(SocketFlags::empty())?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC | flags, None)?)
}

impl Connection {
    /// Fails at once where too many wait for the driver already.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let socket = socket(SocketFlags::NONBLOCK)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Connection(UnixStream::from_std(StdStream::from(socket))?))
    }

    /// Sends `request` and waits for the answer; `None` when the connection ends instead.
    pub(super) async fn exchange(&self, request: &[u8]) -> io::Result<Option<Packet>> {
        let send = || Ok(send(&self.0, request, SendFlags::NOSIGNAL)?);
        self.0.async_io(Interest::WRITABLE, send).await?;
        let packet = self.0.async_io(Interest::READABLE, || receive(&self.0)).await?;
        Ok(Some(packet).filter(|packet| !packet.bytes.is_empty()))
    }
}

fn receive(socket: &UnixStream) -> io::Result<Packet> {
    let mut bytes = vec![0; PACKET_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sent) = message {
            descriptors.extend(sent);
        }
    }
    bytes.truncate(received.bytes);
    let is_cut = received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
    Ok(Packet { bytes, descriptors, is_cut })
}
