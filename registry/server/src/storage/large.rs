//! [`Large`]: what all manifests together may take of memory and of processor time, over all requests.
//!
//! A manifest is held whole, by whoever sends, reads or checks it, and the largest are a thousand times the usual ones. It
//! must not know what a manifest says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::error::StorageError;
use crate::task::outcome;

/// Bytes of large manifests that may be in memory while they are received, and while they are sent or looked at; but one of
/// the largest always may.
const RECEIVED: usize = 16 << 20;
const SERVED: usize = 32 << 20;
/// Bytes of the usual ones that are being received. They have room of their own: who sends large ones slowly keeps only others
/// out who do.
const USUAL_RECEIVED: usize = 16 << 20;
/// Longer ones are large: reading one takes longer than a request may keep others waiting.
pub(super) const USUAL_MAX: usize = 64 << 10;
/// Bytes are counted by so many.
const UNIT: usize = 1 << 10;
/// How long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(20);
/// Large manifests that are read at once: each becomes several times as large in memory.
const READERS: usize = 2;
/// Manifests that are fetched at once before it is known how large they are.
const FETCHERS: usize = 16;

#[derive(Clone)]
pub(super) struct Large {
    usual_received: Arc<Semaphore>,
    received: Arc<Semaphore>,
    served: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    fetchers: Arc<Semaphore>,
}

/// Room for some bytes, until it is dropped.
pub(crate) struct Place(OwnedSemaphorePermit);

impl Large {
    /// For manifests of at most `bytes_max`.
    pub(super) fn new(bytes_max: usize) -> Self {
        let room = |bytes: usize| Arc::new(Semaphore::new(units(bytes) as usize));
        Large {
            usual_received: room(USUAL_RECEIVED),
            received: room(RECEIVED.max(bytes_max)),
            served: room(SERVED.max(bytes_max)),
            readers: Arc::new(Semaphore::new(READERS)),
            fetchers: Arc::new(Semaphore::new(FETCHERS)),
        }
    }

    /// Waits for room to receive a manifest of `bytes`.
    pub(super) async fn receive(&self, bytes: usize) -> Result<Place, StorageError> {
        take(if bytes <= USUAL_MAX { &self.usual_received } else { &self.received }, units(bytes)).await
    }

    /// Waits for room to hold a large manifest of `bytes` that is stored.
    pub(super) async fn serve(&self, bytes: usize) -> Result<Place, StorageError> {
        take(&self.served, units(bytes)).await
    }

    /// Waits for the turn to fetch a manifest whose size is not known.
    pub(super) async fn fetch(&self) -> Result<Place, StorageError> {
        take(&self.fetchers, 1).await
    }

    /// What `read` makes of `content`. What takes long keeps no other request waiting.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        content: &Bytes,
        read: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> T {
        if content.len() <= USUAL_MAX {
            return read(content);
        }
        let _turn = self.readers.acquire().await;
        let content = content.clone();
        outcome(spawn_blocking(move || read(&content))).await
    }
}

impl Place {
    /// `content`, which keeps as much room as it needs for as long as any part of it is in memory.
    pub(crate) fn hold(mut self, content: Bytes) -> Bytes {
        match self.0.split(units(content.len()) as usize) {
            Some(permit) => Bytes::from_owner(Held { content, _permit: permit }),
            None => content,
        }
    }
}

struct Held {
    content: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

async fn take(room: &Arc<Semaphore>, count: u32) -> Result<Place, StorageError> {
    match timeout(PATIENCE, Arc::clone(room).acquire_many_owned(count)).await {
        Ok(Ok(permit)) => Ok(Place(permit)),
        _ => Err(StorageError::Busy),
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn content_keeps_its_room_as_long_as_any_part_of_it_lives() {
        let large = Large::new(1);
        let content = large.serve(SERVED).await.unwrap().hold(Bytes::from(vec![7; SERVED / 2]));
        let part = content.slice(3..9);
        drop(content);
        let rest = large.serve(SERVED / 2).await.unwrap();
        assert!(matches!(large.serve(1).await, Err(StorageError::Busy)));
        drop(part);
        drop(large.serve(SERVED / 2).await.unwrap());
        drop(rest);
        large.serve(SERVED).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn large_ones_keep_none_of_the_usual_ones_out() {
        let large = Large::new(1);
        let _all = large.receive(RECEIVED).await.unwrap();
        assert!(matches!(large.receive(USUAL_MAX + 1).await, Err(StorageError::Busy)));
        large.receive(USUAL_MAX).await.unwrap();
        large.serve(SERVED).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_long_is_read_like_what_is_short() {
        let large = Large::new(1);
        for length in [0, USUAL_MAX, USUAL_MAX + 1] {
            let read = large.read(&Bytes::from(vec![1; length]), |content| content.len()).await;
            assert_eq!(read, length);
        }
    }
}
