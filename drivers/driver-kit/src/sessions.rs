//! [`Sessions`]: the write sessions that are open in this process, and the fence between their writers.
//!
//! For one staging path everything happens in turn: a stream's write or flush, a newer open, commit, delete. Whoever has
//! the turn decides whose session it is; a stream whose session was replaced or ended finds itself fenced.
//! It knows nothing of messages, nor of what a session does with its bytes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use storagedriver_proto::Path;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::driver::WriteSession;
use crate::error::{Error, ErrorKind, Result};

/// One staging path. It lives as long as a stream, or a call that has the turn, holds it; its session with it.
type Slot<S> = Turns<Option<Open<S>>>;

/// The turn at a staging path. Emptying it fences the stream that filled it.
pub(crate) type Turn<S> = OwnedMutexGuard<Option<Open<S>>>;

type Slots<S> = BTreeMap<Path, Weak<Slot<S>>>;

/// The sessions open in this process, by staging path.
pub(crate) struct Sessions<S> {
    slots: Mutex<Slots<S>>,
}

/// A session, and the fence that falls when it is dropped.
pub(crate) struct Open<S> {
    pub(crate) session: S,
    _fence: DropGuard,
}

/// A stream's hold on the session it opened.
pub(crate) struct Writer<S> {
    slot: Arc<Slot<S>>,
    fence: CancellationToken,
}

impl<S: WriteSession> Sessions<S> {
    pub(crate) fn new() -> Self {
        Sessions { slots: Mutex::new(BTreeMap::new()) }
    }

    /// Opens a session with `open` while nobody else touches the path. Older streams are fenced once that succeeded.
    pub(crate) async fn open(&self, path: &Path, open: impl Future<Output = Result<S>>) -> Result<Writer<S>> {
        let slot = self.slot(path);
        let mut turn = slot.lock().await;
        let session = open.await?;
        let fence = CancellationToken::new();
        *turn = Some(Open { session, _fence: fence.clone().drop_guard() });
        drop(turn);
        Ok(Writer { slot, fence })
    }

    /// Opens a session with `open` for somebody whom no fence here can stop. Older streams are fenced once that succeeded,
    /// and nobody touches the path until the turn is dropped.
    pub(crate) async fn hand_out<T>(&self, path: &Path, open: impl Future<Output = Result<T>>) -> Result<(T, Turn<S>)> {
        let mut turn = self.turn(path).await;
        let opened = open.await?;
        *turn = None;
        Ok((opened, turn))
    }

    /// Waits for the turn at `path`.
    pub(crate) async fn turn(&self, path: &Path) -> Turn<S> {
        self.slot(path).lock_owned().await
    }

    /// Ends the session at `path` and, with `recursive`, all below it. None of those paths gets a turn until the
    /// returned ones are dropped.
    pub(crate) async fn end(&self, path: &Path, recursive: bool) -> Vec<Turn<S>> {
        let mut ended = vec![self.turn(path).await];
        for slot in if recursive { self.below(path) } else { Vec::new() } {
            ended.push(slot.lock_owned().await);
        }
        ended.iter_mut().for_each(|turn| **turn = None);
        ended
    }

    fn slot(&self, path: &Path) -> Arc<Slot<S>> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(path).and_then(Weak::upgrade) {
            return slot;
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::new(Slot::default());
        slots.insert(path.clone(), Arc::downgrade(&slot));
        slot
    }

    fn below(&self, path: &Path) -> Vec<Arc<Slot<S>>> {
        self.slots().iter().filter(|(key, _)| key.is_below(path)).filter_map(|(_, slot)| slot.upgrade()).collect()
    }

    fn slots(&self) -> MutexGuard<'_, Slots<S>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: WriteSession> Writer<S> {
    /// Appends, and tells how much is persisted.
    pub(crate) async fn write(&self, data: Bytes) -> Result<u64> {
        let mut turn = self.slot.lock().await;
        let session = self.own(&mut turn)?;
        session.write(data).await.map_err(gone_is_fenced)?;
        Ok(session.persisted())
    }

    /// Persists what the granularity allows, and tells how much that is.
    pub(crate) async fn flush(&self) -> Result<u64> {
        let mut turn = self.slot.lock().await;
        self.own(&mut turn)?.flush().await.map_err(gone_is_fenced)
    }

    /// Completes when the session has been replaced or ended by somebody else.
    pub(crate) async fn fenced(&self) -> Error {
        self.fence.cancelled().await;
        fenced()
    }

    /// The session in the slot, if it is still the one this writer opened.
    fn own<'a>(&self, turn: &'a mut Option<Open<S>>) -> Result<&'a mut S> {
        match turn {
            Some(open) if !self.fence.is_cancelled() => Ok(&mut open.session),
            _ => Err(fenced()),
        }
    }
}

/// A session that is gone was ended by somebody else, in this process or in another: for its writer that is one thing.
fn gone_is_fenced(error: Error) -> Error {
    if error.kind() == ErrorKind::NotFound { fenced().with_source(error) } else { error }
}

fn fenced() -> Error {
    Error::new(ErrorKind::Fenced, "the session was opened anew, committed or deleted by somebody else")
}
