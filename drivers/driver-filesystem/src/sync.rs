//! [`Syncs`]: one sync of a folder for all who wait for it. It knows nothing of what changed there.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fd::OwnedFd;
use rustix::fs::{fstat, fsync};
use rustix::io;

/// Device and inode.
type FolderId = (u64, u64);
/// What came of a sync that has not begun yet, for all who wait for it.
type Outcome = Arc<OnceLock<io::Result<()>>>;

/// The syncs of folders that run or are waited for.
#[derive(Default)]
pub(crate) struct Syncs {
    folders: Mutex<HashMap<FolderId, Syncing>>,
    finished: Condvar,
}

#[derive(Default)]
struct Syncing {
    running: bool,
    /// Who comes while a sync runs may have changed the folder after it began: all of them share the next.
    next: Outcome,
}

impl Syncs {
    /// Returns when everything done to the entries of `folder` before the call is on the disk.
    pub(crate) fn sync(&self, folder: &OwnedFd) -> io::Result<()> {
        let stat = fstat(folder)?;
        self.share((stat.st_dev, stat.st_ino), || fsync(folder))
    }

    fn share(&self, id: FolderId, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut folders = self.lock();
        let outcome = Arc::clone(&folders.entry(id).or_default().next);
        loop {
            if let Some(outcome) = outcome.get() {
                return *outcome;
            }
            let folder = folders.entry(id).or_default();
            if !folder.running {
                *folder = Syncing { running: true, next: Outcome::default() };
                break;
            }
            folders = self.finished.wait(folders).unwrap_or_else(PoisonError::into_inner);
        }
        drop(folders);
        let done = *outcome.get_or_init(sync);
        self.finish(id);
        done
    }

    fn finish(&self, id: FolderId) {
        let mut folders = self.lock();
        match folders.get_mut(&id) {
            Some(folder) if Arc::strong_count(&folder.next) > 1 => folder.running = false,
            _ => drop(folders.remove(&id)),
        }
        self.finished.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FolderId, Syncing>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use rustix::io::Errno;

    use super::*;

    /// Starts `count` callers while a first sync runs, then lets it end. Tells how many syncs there were in all.
    fn syncs_of_late_callers(syncs: &Syncs, count: usize, outcome: io::Result<()>) -> usize {
        let runs = AtomicUsize::new(0);
        let (begun, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(|| {
                syncs.share((0, 0), || {
                    runs.fetch_add(1, Ordering::SeqCst);
                    begun.send(()).unwrap();
                    may_end.into_iter().next();
                    Ok(())
                })
            });
            has_begun.recv().unwrap();
            let late = || {
                syncs.share((0, 0), || {
                    runs.fetch_add(1, Ordering::SeqCst);
                    outcome
                })
            };
            let callers: Vec<_> = (0..count).map(|_| scope.spawn(late)).collect();
            while Arc::strong_count(&syncs.lock()[&(0, 0)].next) <= count {
                thread::yield_now();
            }
            end.send(()).unwrap();
            callers.into_iter().for_each(|caller| assert_eq!(caller.join().unwrap(), outcome));
        });
        runs.load(Ordering::SeqCst)
    }

    #[test]
    fn callers_that_come_during_a_sync_share_the_next() {
        let syncs = Syncs::default();
        assert_eq!(syncs_of_late_callers(&syncs, 8, Ok(())), 2);
        assert!(syncs.lock().is_empty());
    }

    #[test]
    fn all_who_share_a_sync_learn_that_it_failed() {
        assert_eq!(syncs_of_late_callers(&Syncs::default(), 3, Err(Errno::IO)), 2);
    }
}
