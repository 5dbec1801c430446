//! [`Marker`]: which writer of a session is the newest, among all processes that share the store.
//!
//! Beside the staged file, in a folder whose name no path can have, lies a file of the same name with sixteen random bytes:
//! the mark of the newest writer. Every write happens under a lock on that file and after a look at the mark. Whoever takes
//! the session over replaces the mark under the same lock; so when it has the lock no older write is under way, and none
//! can follow. Commit and Delete remove the file, under its lock too: were it removed under a writer, the next to look would
//! make another, and publish what is still being written. A writer that has the removed one open sees that it has no name
//! any more. The folder is part of the upload's own, and goes with it.

use driver_kit::{Error, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::{self, Errno};

use crate::error::writing;
use crate::positional::{read_up_to, write_all};
use crate::root::{FOLDER, WRITABLE, present};
use crate::workspace::{OWN_FILE, OWN_FOLDER};

const MARKERS: &str = "~writers";
const MARK_LENGTH: usize = 16;

/// The newest writer's hold on a marker.
pub(crate) struct Marker {
    file: OwnedFd,
    mark: [u8; MARK_LENGTH],
}

/// A marker that nobody else can look at or replace. It is unlocked with the descriptor.
pub(crate) struct Locked {
    file: OwnedFd,
}

/// A marker that is held during one write.
pub(crate) struct Held<'a>(&'a OwnedFd);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // It fails for no descriptor that could be locked; and the lock ends with the descriptor at the latest.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

impl Locked {
    /// Locks the marker of the session `name` in the folder `above`.
    pub(crate) fn new(above: &OwnedFd, name: &str) -> io::Result<Self> {
        loop {
            let Some(file) = open_or_create(above, name)? else { continue };
            lock(&file)?;
            // Commit or Delete may have removed it while the lock was waited for.
            if has_name(&file)? {
                return Ok(Locked { file });
            }
        }
    }

    /// Runs `work`, which may end the session, while no writer has the mark. It comes back when `work` fails.
    ///
    /// Removing the marker afterwards can fail, and what is published must have no writer left.
    pub(crate) fn revoked_while<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let mark = read_up_to(&self.file, 0, MARK_LENGTH).map_err(writing)?;
        if mark.is_empty() {
            return work();
        }
        self.set([0; MARK_LENGTH].into()).map_err(writing)?;
        work().inspect_err(|_| {
            // A mark that cannot be given back leaves the writers fenced, and the session to the next who opens it.
            let _ = self.set(mark);
        })
    }

    /// Removes the marker, of the session `name` in the folder `above`, which is over.
    pub(crate) fn remove(self, above: &OwnedFd, name: &str) {
        if let Ok(folder) = openat(above, MARKERS, FOLDER, Mode::empty()) {
            let _ = unlinkat(&folder, name, AtFlags::empty());
            let _ = unlinkat(above, MARKERS, AtFlags::REMOVEDIR);
        }
    }

    fn set(&self, mark: Vec<u8>) -> io::Result<()> {
        write_all(&self.file, 0, &[mark.into()])
    }

    /// Becomes the newest writer, and lets the next one have the marker.
    pub(crate) fn claim(self) -> io::Result<Marker> {
        let mark: [u8; MARK_LENGTH] = rand::random();
        self.set(mark.into())?;
        drop(Held(&self.file));
        Ok(Marker { file: self.file, mark })
    }
}

impl Marker {
    /// Locks the marker, when the session is there and was not taken over.
    pub(crate) fn hold(&self) -> Result<Held<'_>> {
        lock(&self.file).map_err(writing)?;
        let held = Held(&self.file);
        if !has_name(&self.file).map_err(writing)? {
            return Err(Error::no_session());
        }
        let mark = read_up_to(&self.file, 0, MARK_LENGTH).map_err(writing)?;
        if mark == self.mark { Ok(held) } else { Err(Error::fenced()) }
    }
}

/// Removes the marker of a session that was deleted, unless somebody is at it: a writer who has not noticed, or a new one.
/// One that stays takes a few bytes until its folder is deleted.
pub(crate) fn remove_idle(above: &OwnedFd, name: &str) {
    let Ok(file) =
        openat(above, MARKERS, FOLDER, Mode::empty()).and_then(|folder| openat(&folder, name, WRITABLE, Mode::empty()))
    else {
        return;
    };
    let is_locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    let is_deleted = statat(above, name, AtFlags::SYMLINK_NOFOLLOW).err() == Some(Errno::NOENT);
    if is_locked && is_deleted && has_name(&file) == Ok(true) {
        Locked { file }.remove(above, name);
    }
}

/// `None` when the folder of markers is removed at the same moment.
fn open_or_create(above: &OwnedFd, name: &str) -> io::Result<Option<OwnedFd>> {
    match mkdirat(above, MARKERS, OWN_FOLDER) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let Some(folder) = present(openat(above, MARKERS, FOLDER, Mode::empty()))? else { return Ok(None) };
    present(openat(&folder, name, WRITABLE | OFlags::CREATE, OWN_FILE))
}

fn lock(file: &OwnedFd) -> io::Result<()> {
    io::retry_on_intr(|| flock(file, FlockOperation::LockExclusive))
}

fn has_name(file: &OwnedFd) -> io::Result<bool> {
    Ok(fstat(file)?.st_nlink > 0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use driver_kit::ErrorKind;
    use rustix::fs::CWD;

    use super::*;

    /// Why a writer may not write, if so.
    fn standing(marker: &Marker) -> Option<ErrorKind> {
        marker.hold().err().map(|refused| refused.kind())
    }

    #[test]
    fn the_newest_alone_can_hold_its_marker() {
        let place = tempfile::tempdir().unwrap();
        let folder = openat(CWD, place.path(), FOLDER, Mode::empty()).unwrap();
        let claim = || Locked::new(&folder, "data").unwrap().claim().unwrap();
        let first = claim();
        drop(Locked::new(&folder, "data").unwrap());
        assert_eq!(standing(&first), None);
        let second = claim();
        assert_eq!((standing(&first), standing(&second)), (Some(ErrorKind::Fenced), None));
        remove_idle(&folder, "data");
        assert_eq!(standing(&second), Some(ErrorKind::NotFound));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
        assert!(Locked::new(&folder, &"n".repeat(255)).is_ok());
    }

    #[test]
    fn nobody_writes_while_a_session_is_ended() {
        let place = tempfile::tempdir().unwrap();
        let folder = openat(CWD, place.path(), FOLDER, Mode::empty()).unwrap();
        let locked = || Locked::new(&folder, "data").unwrap();
        locked().revoked_while(|| Ok(())).unwrap();
        let writer = locked().claim().unwrap();
        assert!(locked().revoked_while(|| Err::<(), _>(Error::no_session())).is_err());
        assert_eq!(standing(&writer), None);
        locked().revoked_while(|| Ok(())).unwrap();
        assert_eq!(standing(&writer), Some(ErrorKind::Fenced));
    }

    #[test]
    fn a_marker_goes_when_its_session_is_gone_and_nobody_writes() {
        let place = tempfile::tempdir().unwrap();
        let folder = openat(CWD, place.path(), FOLDER, Mode::empty()).unwrap();
        let (staged, marker) = (place.path().join("data"), place.path().join("~writers/data"));
        std::fs::write(&staged, "").unwrap();
        let writer = Locked::new(&folder, "data").unwrap().claim().unwrap();
        remove_idle(&folder, "data");
        assert!(marker.exists(), "there is a session");
        std::fs::remove_file(&staged).unwrap();
        let held = writer.hold().unwrap();
        remove_idle(&folder, "data");
        assert!(marker.exists(), "a write is under way");
        drop(held);
        remove_idle(&folder, "data");
        assert!(!marker.exists());
    }

    #[test]
    fn who_waits_for_a_marker_that_is_removed_gets_another() {
        let place = tempfile::tempdir().unwrap();
        let folder = openat(CWD, place.path(), FOLDER, Mode::empty()).unwrap();
        let first = Locked::new(&folder, "data").unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| Locked::new(&folder, "data").unwrap());
            first.remove(&folder, "data");
            assert_eq!(has_name(&second.join().unwrap().file), Ok(true));
        });
    }

    #[test]
    fn who_locks_waits_for_who_holds() {
        let place = tempfile::tempdir().unwrap();
        let folder = openat(CWD, place.path(), FOLDER, Mode::empty()).unwrap();
        let first = Locked::new(&folder, "data").unwrap().claim().unwrap();
        let held = first.hold().unwrap();
        let has_lock = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                Locked::new(&folder, "data").unwrap();
                has_lock.store(true, Ordering::SeqCst);
            });
            for _ in 0..100 {
                assert!(!has_lock.load(Ordering::SeqCst));
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
            drop(held);
        });
        assert!(has_lock.into_inner());
    }
}
