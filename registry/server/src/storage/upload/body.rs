//! [`Incoming`]: the bytes of one request, as they come from a client.
//!
//! Clients send in pieces of any size; what goes on to the store goes in pieces of the size that costs it least, or in
//! smaller ones when a client is slow: what it sent is not kept in memory for as long as it takes.

use std::mem;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use storagedriver_proto::limits::CHUNK_PREFERRED;
use tokio::time::{Instant, timeout_at};

use crate::storage::StorageError;

/// How long bytes wait for more of their piece.
const GATHERS: Duration = Duration::from_secs(1);

pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request that adds to an upload.
pub(crate) struct Incoming {
    content: BoxStream<'static, Result<Bytes, BodyError>>,
    /// Where the client says that its bytes belong.
    start: Option<u64>,
    /// How many the client says there are.
    length: Option<u64>,
    received: u64,
    /// The beginning of the next piece for the store. It has room for just that piece: the piece is kept until it is
    /// persisted, and spare room with it.
    gathered: BytesMut,
    /// When it goes on as it is.
    due: Option<Instant>,
    /// What came last from the client and found no place in the pieces before.
    surplus: Bytes,
}

impl Incoming {
    pub(crate) fn new(
        content: BoxStream<'static, Result<Bytes, BodyError>>,
        start: Option<u64>,
        length: Option<u64>,
    ) -> Self {
        let (gathered, surplus) = Default::default();
        Incoming { content, start, length, received: 0, gathered, due: None, surplus }
    }

    /// Whether all of it comes as one piece.
    pub(super) fn is_small(&self) -> bool {
        self.length.is_some_and(|length| length < CHUNK_PREFERRED as u64)
    }

    /// Refuses bytes that do not belong where the upload continues.
    pub(super) fn check_start(&self, offset: u64) -> Result<(), StorageError> {
        match self.start {
            Some(start) if start != offset => Err(StorageError::RangeInvalid { start, offset }),
            _ => Ok(()),
        }
    }

    /// The next bytes to store: a piece of the preferred size, or what came in some time, or the last. After an error, what
    /// was gathered is to be had with [`Self::rest`].
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        loop {
            if let Some(piece) = self.whole_piece() {
                return Ok(Some(piece));
            }
            let received = match self.due {
                None => self.content.next().await,
                Some(due) => match timeout_at(due, self.content.next()).await {
                    Ok(received) => received,
                    Err(_slow) => return Ok(self.rest()),
                },
            };
            let Some(received) = received else { break };
            self.surplus =
                received.map_err(|source| StorageError::BodyIncomplete { received: self.received, source })?;
            self.count(self.surplus.len())?;
        }
        self.check_end()?;
        Ok(self.rest())
    }

    /// Gathers the surplus, as far as it fits into one piece, and gives the piece out when it is whole.
    fn whole_piece(&mut self) -> Option<Bytes> {
        if self.gathered.is_empty() && self.surplus.len() >= CHUNK_PREFERRED {
            return Some(self.surplus.split_to(CHUNK_PREFERRED));
        }
        let room = self.length.filter(|_| self.is_small()).map_or(CHUNK_PREFERRED, |length| length as usize);
        if !self.surplus.is_empty() && self.gathered.capacity() < room {
            self.gathered = BytesMut::with_capacity(room);
            // A small body is wanted whole.
            self.due = (!self.is_small()).then(|| Instant::now() + GATHERS);
        }
        let lacking = CHUNK_PREFERRED - self.gathered.len();
        self.gathered.extend_from_slice(&self.surplus.split_to(lacking.min(self.surplus.len())));
        if self.gathered.len() == CHUNK_PREFERRED { self.rest() } else { None }
    }

    /// What has been gathered and not given out.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        self.due = None;
        let rest = mem::take(&mut self.gathered).freeze();
        Some(rest).filter(|rest| !rest.is_empty())
    }

    fn count(&mut self, length: usize) -> Result<(), StorageError> {
        self.received += length as u64;
        match self.length {
            Some(announced) if self.received > announced => self.size_invalid(announced),
            _ => Ok(()),
        }
    }

    fn check_end(&self) -> Result<(), StorageError> {
        match self.length {
            Some(announced) if self.received < announced => self.size_invalid(announced),
            _ => Ok(()),
        }
    }

    fn size_invalid(&self, announced: u64) -> Result<(), StorageError> {
        Err(StorageError::SizeInvalid { announced, received: self.received })
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn incoming(pieces: &[usize], length: Option<u64>) -> Incoming {
        let pieces: Vec<_> = pieces.iter().map(|&length| Ok(Bytes::from(vec![7; length]))).collect();
        Incoming::new(stream::iter(pieces).boxed(), Some(10), length)
    }

    async fn sizes(mut incoming: Incoming) -> Result<Vec<usize>, StorageError> {
        let mut sizes = Vec::new();
        while let Some(piece) = incoming.next().await? {
            sizes.push(piece.len());
        }
        Ok(sizes)
    }

    #[tokio::test]
    async fn what_comes_in_any_pieces_goes_on_in_pieces_of_one_size() {
        let half = CHUNK_PREFERRED / 2;
        let rows: [(&[usize], &[usize]); 5] = [
            (&[], &[]),
            (&[0, 1], &[1]),
            (&[half, half, 5], &[2 * half, 5]),
            (&[3 * half, 3 * half], &[2 * half, 2 * half, 2 * half]),
            (&[1, 3 * half], &[2 * half, half + 1]),
        ];
        for (pieces, expected) in rows {
            assert_eq!(sizes(incoming(pieces, None)).await.unwrap(), expected, "{pieces:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_slow_client_sent_goes_on_without_more() {
        let after = |millis| async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok(Bytes::from_static(b"1234"))
        };
        type Row<'a> = (Option<u64>, &'a [(usize, u128)]);
        let rows: [Row<'_>; 2] = [(None, &[(8, 1100), (8, 5800)]), (Some(16), &[(16, 5800)])];
        for (length, expected) in rows {
            let pieces = stream::iter([100, 600, 5000, 100]).then(after).fuse();
            let (mut incoming, begun) = (Incoming::new(pieces.boxed(), None, length), Instant::now());
            let mut seen = Vec::new();
            while let Some(piece) = incoming.next().await.unwrap() {
                seen.push((piece.len(), begun.elapsed().as_millis()));
            }
            assert_eq!(seen, expected, "announced: {length:?}");
        }
    }

    #[tokio::test]
    async fn a_lie_about_the_length_is_told() {
        assert_eq!(sizes(incoming(&[3, 4], Some(7))).await.unwrap(), [7]);
        for (announced, received) in [(6, 7), (8, 7)] {
            let error = sizes(incoming(&[3, 4], Some(announced))).await.unwrap_err();
            assert!(
                matches!(error, StorageError::SizeInvalid { announced: a, received: r } if (a, r) == (announced, received))
            );
        }
    }

    #[test]
    fn bytes_belong_where_the_upload_continues() {
        assert!(incoming(&[], None).check_start(10).is_ok());
        let error = incoming(&[], None).check_start(11).unwrap_err();
        assert!(matches!(error, StorageError::RangeInvalid { start: 10, offset: 11 }));
    }
}
