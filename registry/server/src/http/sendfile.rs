//! [`Sendfile`]: a socket that sends a file where it is given the placeholders of a [`FileBody`](super::file_body).
//!
//! The kernel moves the bytes; they never are in this process. It knows nothing of HTTP.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::sendfile;
use rustix::io::{Errno, ReadWriteFlags, preadv2, retry_on_intr};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::task::block_in_place;
use tokio_util::either::Either;

use super::file_body::{Files, Part, is_placeholder};
use super::listener::Stream;

pub(super) struct Sendfile {
    socket: Stream,
    files: Files,
}

impl Sendfile {
    pub(super) fn new(socket: Stream, files: Files) -> Self {
        Sendfile { socket, files }
    }

    fn poll_send_file(&self, cx: &mut Context<'_>, placeholder: usize) -> Poll<io::Result<usize>> {
        let mut files = self.files.lock();
        let part = files.front_mut().ok_or_else(|| broken("a placeholder that stands for nothing"))?;
        let count = placeholder.min(usize::try_from(part.left).unwrap_or(usize::MAX));
        let sent = ready!(self.poll_when_writable(cx, |socket| send(socket, part, count)))?;
        if sent == 0 {
            tracing::error!(offset = part.offset, "a stored file is shorter than it was");
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        part.offset += sent as u64;
        part.left -= sent as u64;
        if part.left == 0 {
            files.pop_front();
        }
        Poll::Ready(Ok(sent))
    }

    /// Sends what a file is to follow, in one packet with its beginning.
    fn poll_send_before(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_when_writable(cx, |socket| {
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            Ok(sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags)?)
        })
    }

    fn poll_when_writable<T>(
        &self,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let attempt = match &self.socket {
                Either::Left(tcp) => {
                    ready!(tcp.poll_write_ready(cx))?;
                    tcp.try_io(Interest::WRITABLE, || operation(tcp.as_fd()))
                }
                Either::Right(unix) => {
                    ready!(unix.poll_write_ready(cx))?;
                    unix.try_io(Interest::WRITABLE, || operation(unix.as_fd()))
                }
            };
            match attempt {
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

/// Sends as much of `part` as the socket takes, `count` bytes at most. Where the disk has to be waited for, the runtime
/// is told, so that others go on meanwhile.
fn send(socket: BorrowedFd<'_>, part: &Part, count: usize) -> io::Result<usize> {
    let send = || {
        let mut offset = part.offset;
        retry_on_intr(|| sendfile(socket, &part.file, Some(&mut offset), count))
    };
    let sent = if is_in_memory(part, count) { send() } else { block_in_place(send) };
    Ok(sent?)
}

/// Whether the last of `count` bytes can be had without the disk; the kernel reads ahead, so that the others can too.
fn is_in_memory(part: &Part, count: usize) -> bool {
    let mut last = [0];
    let mut room = [IoSliceMut::new(&mut last)];
    let offset = part.offset + count.saturating_sub(1) as u64;
    preadv2(&part.file, &mut room, offset, ReadWriteFlags::NOWAIT) != Err(Errno::AGAIN)
}

fn broken(what: &'static str) -> io::Error {
    io::Error::other(what)
}

impl AsyncRead for Sendfile {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Sendfile {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices.iter().position(|slice| is_placeholder(slice)) {
            Some(0) => self.poll_send_file(cx, slices.first().map_or(0, |placeholder| placeholder.len())),
            Some(before) => self.poll_send_before(cx, slices.get(..before).unwrap_or_default()),
            None if self.files.lock().is_empty() => Pin::new(&mut self.socket).poll_write_vectored(cx, slices),
            // Somebody has copied a placeholder: rather no answer than zeros.
            None => Poll::Ready(Err(broken("a placeholder went astray"))),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
