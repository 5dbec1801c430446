//! [`Linger`]: a connection that, once closed for sending, still takes what its peer sends, until that closes too.
//!
//! Closed at once, a Unix socket with unread bytes takes away from the peer what it has not read yet.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tonic::transport::server::Connected;

use crate::fault::Fault;

/// How a connection of HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Connections that are many.
const MANY: usize = 100;

/// How many there are.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// What a leak keeps open.
static LEAKED: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());

pub(crate) struct Linger {
    stream: UnixStream,
    is_greeted: bool,
}

impl Linger {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        let open = OPEN.fetch_add(1, Ordering::Relaxed);
        let linger = Linger { stream, is_greeted: false };
        if Fault::ConnectionsFew.on() && open >= MANY {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(linger)
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut UnixStream> {
        Pin::new(&mut self.get_mut().stream)
    }

    fn greet(&mut self, first: &[u8]) {
        let is_preface = first.iter().zip(PREFACE).all(|(seen, wanted)| seen == wanted);
        if Fault::GarbageKills.on() && !self.is_greeted && !is_preface {
            std::process::exit(1);
        }
        self.is_greeted |= !first.is_empty();
    }
}

impl Drop for Linger {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
        if let (true, Ok(copy)) = (Fault::ConnectionLeaks.on(), self.stream.as_fd().try_clone_to_owned()) {
            LEAKED.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
        }
    }
}

impl Connected for Linger {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Linger {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = space.filled().len();
        let read = self.as_mut().stream().poll_read(context, space);
        self.greet(&space.filled()[before..]);
        read
    }
}

impl AsyncWrite for Linger {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().stream().poll_shutdown(context))?;
        let mut space = [0; 4096];
        loop {
            let mut taken = ReadBuf::new(&mut space);
            match ready!(self.as_mut().stream().poll_read(context, &mut taken)) {
                Ok(()) if !taken.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
