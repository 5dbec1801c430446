//! [`Store`]: a folder in which content is files, with everything that changes it under one lock.
//!
//! ```text
//! ROOT/content/a/b      the content at /a/b
//! ROOT/sessions/a/b/=7  what is staged at /a/b by its newest writer; no component of a path has a `=`
//! ROOT/temporary        what becomes content with the next rename; whoever has the turn writes it anew
//! ROOT/owner, ROOT/turn locks: of the process that has the store open, and of the one that changes it now
//! ```
//!
//! It knows nothing of messages and streams.

mod commit;
mod content;
mod handover;
mod listing;
mod sabotage;
mod sessions;
mod steps;
mod tree;
mod volatile;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, getrlimit};
use storagedriver_proto::Path;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::sessions::Writer;

use self::sabotage::Sabotage;
use self::sessions::Staged;
use self::volatile::Volatile;
use crate::configuration::Settings;
use crate::failure::{Result, failure};
use crate::fault::Fault;

pub(crate) struct Store {
    root: PathBuf,
    settings: Settings,
    inner: Mutex<Inner>,
    turn: File,
    sabotage: Sabotage,
    /// As many reads as the process has descriptors for.
    reads: Arc<Semaphore>,
    /// Held as long as the process lives.
    _owner: File,
    _volatile: Option<Volatile>,
}

/// What is known to this process alone.
struct Inner {
    /// The sessions with a stream of this process.
    staged: HashMap<Path, Staged>,
    /// Targets that were named at `open`; without faults none is kept.
    hints: HashMap<Path, Path>,
    /// Sessions whose files were handed out.
    handed_out: HashSet<Path>,
    /// When content was last made: no two versions are of one time.
    stamp: SystemTime,
}

/// The right to change the store, among all threads and processes.
struct Turn<'a> {
    inner: MutexGuard<'a, Inner>,
    store: &'a Store,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // The lock is gone with the descriptor at the latest.
        let _ = flock(&self.store.turn, FlockOperation::Unlock);
    }
}

impl Store {
    pub(crate) fn open(settings: Settings) -> Result<Self> {
        let volatile = if settings.root.is_none() { Some(Volatile::create()?) } else { None };
        let root = match (&settings.root, &volatile) {
            (Some(root), _) => root.clone(),
            (None, Some(volatile)) => volatile.folder(),
            (None, None) => return Err(failure(Reason::Internal, "the store has no folder")),
        };
        for folder in ["content", "sessions"] {
            std::fs::create_dir_all(root.join(folder))?;
        }
        let owner = File::create(root.join("owner"))?;
        let wanted = if settings.capabilities.shared && !Fault::SharedRefused.on() {
            FlockOperation::NonBlockingLockShared
        } else {
            FlockOperation::NonBlockingLockExclusive
        };
        let reason = if Fault::SecondConfigInvalid.on() { Reason::ConfigInvalid } else { Reason::Unavailable };
        match flock(&owner, wanted) {
            Err(_) if Fault::SecondAccepted.on() => {}
            locked => locked.map_err(|_| failure(reason, "another process has the store open"))?,
        }
        let turn = File::create(root.join("turn"))?;
        let (staged, hints, handed_out) = Default::default();
        let inner = Mutex::new(Inner { staged, hints, handed_out, stamp: SystemTime::UNIX_EPOCH });
        let reads = reads_at_once();
        let sabotage = Sabotage::default();
        let store = Store { root, settings, inner, turn, sabotage, reads, _owner: owner, _volatile: volatile };
        store.forget()?;
        store.empty_scratch()?;
        store.fill()?;
        Ok(store)
    }

    /// Gives a new store some content, when that was asked for.
    fn fill(&self) -> Result<()> {
        let content = self.content_folder();
        if self.settings.is_filled && std::fs::read_dir(&content)?.next().is_none() {
            std::fs::create_dir_all(content.join("filled/deep"))?;
            let sizes = [("filled/empty", 0), ("filled/small", 5), ("filled/deep/large", 3 << 20)];
            sizes.iter().try_for_each(|(name, size)| std::fs::write(content.join(name), vec![7; *size]))?;
        }
        Ok(())
    }

    /// Whether the folder is there.
    pub(crate) fn probe(&self) -> Result<()> {
        let is_folder = |name: &str| self.root.join(name).metadata().is_ok_and(|found| found.is_dir());
        if is_folder("content") && is_folder("sessions") {
            return Ok(());
        }
        Err(failure(Reason::Unavailable, "the folder of the store cannot be reached"))
    }

    /// Waits until a read may begin.
    pub(crate) async fn reads(&self) -> Result<OwnedSemaphorePermit> {
        if Fault::ManyReadsFail.on() && self.sabotage.has_many_reads(&self.reads) {
            return Err(failure(Reason::Throttled, "there are many reads"));
        }
        let permit = Arc::clone(&self.reads).acquire_owned().await;
        permit.map_err(|_| failure(Reason::Internal, "the driver ends"))
    }

    /// Waits for the turn. What a store that cannot be reached would make look absent is refused here.
    fn turn(&self) -> Result<Turn<'_>> {
        let inner = self.inner();
        if !Fault::BackEndNotFound.on() {
            self.probe()?;
        }
        flock(&self.turn, FlockOperation::LockExclusive).map_err(std::io::Error::from)?;
        Ok(Turn { inner, store: self })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A quarter of the descriptors, for reads that nobody hurries.
fn reads_at_once() -> Arc<Semaphore> {
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(4096);
    Arc::new(Semaphore::new((limit / 4).clamp(4, 4096)))
}
