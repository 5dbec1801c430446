//! Packets over a Unix socket of type SOCK_SEQPACKET, some of which carry a descriptor.
//!
//! The runtime has no such sockets. But it waits for one as for any other, so its stream sockets hold them here, and
//! nothing is ever read or written through those. It knows neither what a packet says nor whose descriptor it carries.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener as StdListener;

use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown,
    recvmsg, sendmsg, shutdown,
};
use storagedriver_proto::limits::PACKET_MAX;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};

/// A socket on which connections come.
pub(crate) struct Listener(UnixListener);

/// One connection, with room for one packet.
pub(crate) struct Connection {
    socket: UnixStream,
    packet: Vec<u8>,
}

impl Listener {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = StdListener::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Listener(UnixListener::from_std(socket)?))
    }

    pub(crate) async fn accept(&self) -> io::Result<Connection> {
        let (socket, _) = self.0.accept().await?;
        Ok(Connection { socket, packet: vec![0; PACKET_MAX + 1] })
    }
}

impl Connection {
    /// The next packet; `None` at the end, which an empty packet looks like, and for one that is too long.
    ///
    /// No room is given for descriptors: the kernel closes those that come before they are anybody's here.
    pub(crate) async fn receive(&mut self) -> io::Result<Option<&[u8]>> {
        let Connection { socket, packet } = self;
        let receive = || {
            let mut room = [IoSliceMut::new(packet)];
            let received = recvmsg(&*socket, &mut room, &mut RecvAncillaryBuffer::default(), RecvFlags::CMSG_CLOEXEC)?;
            Ok((received.bytes, received.flags.contains(ReturnFlags::TRUNC)))
        };
        let (length, is_cut) = socket.async_io(Interest::READABLE, receive).await?;
        let is_packet = !is_cut && (1..=PACKET_MAX).contains(&length);
        Ok(self.packet.get(..length).filter(|_| is_packet))
    }

    /// Sends a packet, with a descriptor that stays this process's own.
    pub(crate) async fn send(&self, packet: &[u8], descriptor: Option<impl AsFd>) -> io::Result<()> {
        let descriptors = descriptor.as_ref().map(AsFd::as_fd);
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if descriptors.is_some() {
                control.push(SendAncillaryMessage::ScmRights(descriptors.as_slice()));
            }
            sendmsg(&self.socket, &[IoSlice::new(packet)], &mut control, SendFlags::NOSIGNAL).map_err(io::Error::from)
        };
        // Whoever waited for the end of the connection may have used up the news that there is room.
        match send() {
            Err(full) if full.kind() == io::ErrorKind::WouldBlock => {}
            sent => return sent.map(drop),
        }
        self.socket.async_io(Interest::WRITABLE, send).await.map(drop)
    }

    /// Takes no more packets. Those that were received already can still be had.
    pub(crate) fn refuse_more(&self) -> io::Result<()> {
        Ok(shutdown(&self.socket, Shutdown::Read)?)
    }

    /// Completes when the other end has gone.
    pub(crate) async fn closed(&self) -> io::Result<()> {
        while !self.socket.ready(Interest::WRITABLE).await?.is_write_closed() {
            // To say that nothing could be written is how the runtime is asked for the next news.
            let _ = self.socket.try_io(Interest::WRITABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
        Ok(())
    }
}
