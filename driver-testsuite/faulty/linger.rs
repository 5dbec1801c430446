//! [`Linger`]: a connection that, once closed for sending, still takes what its peer sends, until that closes too.
//!
//! Closed at once, a Unix socket with unread bytes takes away from the peer what it has not read yet.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tonic::transport::server::Connected;

pub(crate) struct Linger(pub(crate) UnixStream);

impl Linger {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut UnixStream> {
        Pin::new(&mut self.get_mut().0)
    }
}

impl Connected for Linger {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Linger {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, space)
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
