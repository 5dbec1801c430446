//! Move: a copy, and then the source is deleted. Of all that move one source at once, in whatever process, one does.
//!
//! S3 tells nobody whether a deletion deleted something, so movers take turns. Each leaves a mark beside the source and then
//! looks: who sees no other mark has the turn, who sees one takes his own away and tries again. Since every later look
//! shows every earlier mark, no two can have the turn. A mark whose owner died is passed over when it has not been renewed
//! for a while, by the server's clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use driver_kit::{Error, ErrorKind, Info, Path, Result};
use rand::Rng;
use tokio::time::{Instant, sleep};

use crate::bucket::Object;
use crate::store::{MOVES, Store};

/// Who died holds up the next mover for `STALE_AFTER`. Servers tell whole seconds, so what is told of an age may be wrong by
/// one; who has not renewed his own mark for `OWN_UNTIL` deletes the source no more.
const RENEW_EVERY: Duration = Duration::from_millis(2500);
const OWN_UNTIL: Duration = Duration::from_secs(5);
const STALE_AFTER: Duration = Duration::from_secs(8);
/// In milliseconds, at random up to a bound that doubles.
const WAIT_FIRST: u64 = 60;
const WAIT_LAST: u64 = 1000;
/// How often a source may change while it is copied.
const CHANGES_MAX: u32 = 5;

impl Store {
    pub(crate) async fn rename(self: &Arc<Self>, source: &Path, target: &Path) -> Result<Info> {
        let queue = self.movers.queue(source);
        let _first = queue.lock().await;
        let mut turn = Turn::take(self, source).await?;
        let moved = self.rename_in(&mut turn, source, target).await;
        turn.end().await;
        self.info_of_new(target, moved?.size, None).await
    }

    async fn rename_in(self: &Arc<Self>, turn: &mut Turn, source: &Path, target: &Path) -> Result<Object> {
        let (from, to) = (self.keys.content(source), self.keys.content(target));
        let mut changes = 0;
        let object = loop {
            let object = self.bucket.head(&from).await?.ok_or_else(Error::not_found)?;
            match turn.while_held(Box::pin(self.copy(&from, &object, &to, false))).await {
                Err(error) if error.kind() == ErrorKind::VersionMismatch && changes < CHANGES_MAX => changes += 1,
                // A source that is deleted under a copy may be told to be gone although it was copied first. With the same
                // bytes at the target it makes no difference to anybody whether they were there before.
                Err(error) if error.kind() == ErrorKind::NotFound && self.has_copy(&to, &object).await? => {
                    break object;
                }
                copied => break copied.map(|()| object)?,
            }
        };
        turn.check()?;
        // What was put at the source meanwhile stays.
        self.bucket.delete_version(&from, &object.etag).await?;
        Ok(object)
    }

    async fn has_copy(&self, key: &str, original: &Object) -> Result<bool> {
        Ok(self.bucket.head(key).await?.is_some_and(|copy| (copy.size, &copy.etag) == (original.size, &original.etag)))
    }
}

/// The movers of this process queue up: only one for each source has to look at the marks.
#[derive(Default)]
pub(crate) struct Movers(Mutex<HashMap<Path, Weak<Queue>>>);

type Queue = tokio::sync::Mutex<()>;

impl Movers {
    fn queue(&self, source: &Path) -> Arc<Queue> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(source).and_then(Weak::upgrade) {
            return queue;
        }
        queues.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::new(Queue::default());
        queues.insert(source.clone(), Arc::downgrade(&queue));
        queue
    }
}

/// The right to move a source.
struct Turn {
    store: Arc<Store>,
    mark: String,
    renewed: Instant,
    is_over: bool,
}

impl Turn {
    async fn take(store: &Arc<Store>, source: &Path) -> Result<Self> {
        let marks = store.keys.own(MOVES, source);
        let mark = format!("{marks}{:016x}", rand::random::<u64>());
        let mut wait = WAIT_FIRST;
        loop {
            let renewed = Instant::now();
            store.bucket.put(&mark, Bytes::new(), false).await?;
            let turn = Turn { store: Arc::clone(store), mark: mark.clone(), renewed, is_over: false };
            if turn.is_alone(&marks).await? {
                return Ok(turn);
            }
            turn.end().await;
            let rest = rand::rng().random_range(WAIT_FIRST / 3..wait);
            sleep(Duration::from_millis(rest)).await;
            wait = (wait * 2).min(WAIT_LAST);
        }
    }

    /// Whether no other mark is as young as its owner keeps it.
    async fn is_alone(&self, marks: &str) -> Result<bool> {
        let listed = self.store.bucket.list_few(marks).await?;
        let own = listed.iter().find(|(key, _)| *key == self.mark).map(|(_, object)| object.modified);
        let Some(own) = own else { return Ok(false) };
        let stale = |modified| own.duration_since(modified).is_ok_and(|age| age > STALE_AFTER);
        let others = listed.into_iter().filter(|(key, _)| *key != self.mark);
        let (dead, living): (Vec<_>, Vec<_>) = others.partition(|(_, object)| stale(object.modified));
        let dead: Vec<String> = dead.into_iter().map(|(key, _)| key).collect();
        self.store.bucket.delete_all(&dead).await?;
        Ok(living.is_empty())
    }

    /// Renews the mark while `work` goes on.
    async fn while_held<T>(&mut self, mut work: impl Future<Output = Result<T>> + Unpin) -> Result<T> {
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep(RENEW_EVERY) => {
                    let renewed = Instant::now();
                    self.store.bucket.put(&self.mark, Bytes::new(), false).await?;
                    self.renewed = renewed;
                }
            }
        }
    }

    fn check(&self) -> Result<()> {
        if self.renewed.elapsed() < OWN_UNTIL {
            return Ok(());
        }
        let kind = ErrorKind::Unavailable { may_have_happened: true };
        Err(Error::new(kind, "the S3 server took too long, and somebody else may move the content by now"))
    }

    async fn end(mut self) {
        self.is_over = true;
        if let Err(problem) = self.store.bucket.delete(&self.mark).await {
            tracing::warn!(%problem, "the mark of a move stays, and delays the next move from there");
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (store, mark) = (Arc::clone(&self.store), std::mem::take(&mut self.mark));
        tokio::spawn(async move {
            // When it fails the mark becomes stale.
            let _ = store.bucket.delete(&mark).await;
        });
    }
}
