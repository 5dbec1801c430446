//! [`FileBody`]: a response body whose bytes never come into this process, and [`Files`], by which the socket learns them.
//!
//! The framework knows bodies of bytes in memory only. So the body gives it placeholders, as many bytes as are to be sent,
//! all within one piece of memory that nothing else is in; and it notes in [`Files`] what they stand for. The socket
//! knows placeholders by their address, and sends the file in their place.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::storage::LocalFile;

/// Never read: its pages take no memory.
static PLACEHOLDER: [u8; 1 << 20] = [0; 1 << 20];

/// Part of a file that is to be sent.
pub(super) struct Part {
    pub(super) file: LocalFile,
    pub(super) offset: u64,
    pub(super) left: u64,
}

/// What the placeholders stand for that one connection has still to send, in their order.
#[derive(Clone, Default)]
pub(super) struct Files(Arc<Mutex<VecDeque<Part>>>);

impl Files {
    pub(super) fn lock(&self) -> MutexGuard<'_, VecDeque<Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn is_placeholder(bytes: &[u8]) -> bool {
    PLACEHOLDER.as_ptr_range().contains(&bytes.as_ptr())
}

pub(super) struct FileBody {
    files: Files,
    rest: Part,
}

impl FileBody {
    /// `length` bytes of `file` from `offset` on, to be sent over the connection of `files` and no other.
    pub(super) fn new(files: Files, file: LocalFile, offset: u64, length: u64) -> Self {
        FileBody { files, rest: Part { file, offset, left: length } }
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let FileBody { files, rest } = &mut *self;
        let count = PLACEHOLDER.len().min(usize::try_from(rest.left).unwrap_or(usize::MAX));
        let Some(placeholder) = PLACEHOLDER.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Poll::Ready(None);
        };
        files.lock().push_back(Part { file: rest.file.clone(), offset: rest.offset, left: count as u64 });
        rest.offset += count as u64;
        rest.left -= count as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(placeholder)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.left)
    }
}
