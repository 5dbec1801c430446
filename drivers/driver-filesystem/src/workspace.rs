//! [`Workspace`]: where content is written before it gets its path, and where deleted folders go before they are emptied.
//!
//! It lies inside the store, so that a rename moves between the two, under a name no path can have. Each process has one of
//! its own and holds a lock on a file in it; so what a dead process left can be told from what a live one needs, on
//! whatever host they run. It knows nothing of paths.

use std::ffi::CStr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use driver_kit::{Result, is_being_written};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, mkdirat, openat, renameat_with, unlinkat,
};
use rustix::io::{self, Errno};

use crate::entries::{LONG, visit_all};
use crate::error::writing;
use crate::pool::Stop;
use crate::root::{FILE, FOLDER, WRITABLE, present};
use crate::tree::{Durable, remove_entries};

/// The file whose lock says that the owner of a workspace lives.
const ALIVE: &str = "alive";
/// The driver's own folders and files are the owner's alone.
pub(crate) const OWN_FOLDER: Mode = Mode::RWXU;
pub(crate) const OWN_FILE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Content is as readable as the umask and the root allow, so that other products can be given the store.
pub(crate) const CONTENT: Mode = Mode::from_raw_mode(0o644);

pub(crate) struct Workspace {
    folder: OwnedFd,
    _alive: OwnedFd,
    next: AtomicU64,
}

/// A file that is gone when this is dropped, unless it was renamed.
pub(crate) struct Temporary<'a> {
    pub(crate) folder: &'a OwnedFd,
    pub(crate) name: String,
    pub(crate) file: OwnedFd,
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // Once renamed it is not found, and names are never used again. What cannot be removed is swept at the next start.
        let _ = unlinkat(self.folder, &self.name, AtFlags::empty());
    }
}

impl Workspace {
    /// A new workspace among those in `folder`.
    pub(crate) fn new(folder: &OwnedFd) -> io::Result<Self> {
        loop {
            let name = format!("{:032x}", rand::random::<u128>());
            mkdirat(folder, &name, OWN_FOLDER)?;
            if let Some(workspace) = Self::claim(folder, &name)? {
                return Ok(workspace);
            }
        }
    }

    /// `None` when a sweeper of another process took it for a dead one before it could be locked.
    fn claim(folder: &OwnedFd, name: &str) -> io::Result<Option<Self>> {
        let Some(folder) = present(openat(folder, name, FOLDER, Mode::empty()))? else { return Ok(None) };
        let Some(alive) = present(openat(&folder, ALIVE, WRITABLE | OFlags::CREATE, OWN_FILE))? else {
            return Ok(None);
        };
        io::retry_on_intr(|| flock(&alive, FlockOperation::LockExclusive))?;
        let is_swept = fstat(&alive)?.st_nlink == 0;
        Ok((!is_swept).then(|| Workspace { folder, _alive: alive, next: AtomicU64::new(0) }))
    }

    pub(crate) fn folder(&self) -> &OwnedFd {
        &self.folder
    }

    /// A name that this workspace never gave before.
    pub(crate) fn fresh_name(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// An empty file.
    pub(crate) fn temporary(&self) -> io::Result<Temporary<'_>> {
        let name = self.fresh_name();
        let file = openat(&self.folder, &name, WRITABLE | OFlags::CREATE | OFlags::EXCL, CONTENT)?;
        Ok(Temporary { folder: &self.folder, name, file })
    }

    /// Whether this file system can rename so that nothing is replaced. NFS, for one, cannot.
    pub(crate) fn can_rename_without_replacing(&self) -> io::Result<bool> {
        let mut probe = self.temporary()?;
        let target = self.fresh_name();
        match renameat_with(&self.folder, &probe.name, &self.folder, &target, RenameFlags::NOREPLACE) {
            Ok(()) => probe.name = target,
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => return Ok(false),
            Err(errno) => return Err(errno),
        }
        Ok(true)
    }

    /// Whether the kernel tells if anybody can write to a file here.
    pub(crate) fn can_tell_writers(&self) -> io::Result<bool> {
        let name = self.fresh_name();
        let writer = openat(&self.folder, &name, WRITABLE | OFlags::CREATE | OFlags::EXCL, OWN_FILE)?;
        let reader = openat(&self.folder, &name, FILE, Mode::empty())?;
        let before = is_being_written(&reader);
        drop(writer);
        let after = is_being_written(&reader);
        unlinkat(&self.folder, &name, AtFlags::empty())?;
        Ok(matches!((before, after), (Ok(true), Ok(false))))
    }
}

/// Removes the workspaces of processes that no longer live from `folder`.
pub(crate) fn sweep(folder: &OwnedFd, stop: &Stop) -> Result<()> {
    let mut names = Vec::new();
    let listed = visit_all(folder, LONG, |name, _| {
        names.push(name.to_owned());
        Ok(ControlFlow::Continue(()))
    });
    listed.and_then(|()| names.iter().try_for_each(|name| sweep_one(folder, name, stop))).map_err(writing)
}

fn sweep_one(above: &OwnedFd, name: &CStr, stop: &Stop) -> io::Result<()> {
    let Some(folder) = present(openat(above, name, FOLDER, Mode::empty()))? else { return Ok(()) };
    if let Some(alive) = present(openat(&folder, ALIVE, WRITABLE, Mode::empty()))? {
        match flock(&alive, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(()),
            locked => locked?,
        }
        // The lock file goes last: a sweep that is killed half-way is finished by the next.
        remove_entries(&folder, &[ALIVE.as_bytes()], Durable::No, stop)?;
        unlinkat(&folder, ALIVE, AtFlags::empty())?;
    }
    // It may be the workspace of a process that starts at this moment, and finds out.
    let _ = unlinkat(above, name, AtFlags::REMOVEDIR);
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;

    use super::*;

    #[test]
    fn a_sweep_takes_what_the_dead_left_and_nothing_of_the_living() {
        let place = tempfile::tempdir().unwrap();
        let folder = openat(CWD, place.path(), FOLDER, Mode::empty()).unwrap();
        let (dead, living) = (Workspace::new(&folder).unwrap(), Workspace::new(&folder).unwrap());
        std::fs::write(place.path().join("stray"), "").unwrap();
        for workspace in [&dead, &living] {
            let kept = workspace.temporary().unwrap();
            rustix::fs::linkat(&workspace.folder, &kept.name, &workspace.folder, "left", AtFlags::empty()).unwrap();
            mkdirat(&workspace.folder, "deleted-folder", OWN_FOLDER).unwrap();
        }
        drop(dead);
        sweep(&folder, &Stop::default()).unwrap();
        let left = std::fs::read_dir(place.path()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
        assert_eq!(left.count(), 1);
        assert!(rustix::fs::statat(&living.folder, "left", AtFlags::empty()).is_ok());
    }

    #[test]
    fn a_temporary_file_is_gone_unless_renamed() {
        let place = tempfile::tempdir().unwrap();
        let folder = openat(CWD, place.path(), FOLDER, Mode::empty()).unwrap();
        let workspace = Workspace::new(&folder).unwrap();
        let (dropped, renamed) = (workspace.temporary().unwrap(), workspace.temporary().unwrap());
        rustix::fs::renameat(&workspace.folder, &renamed.name, &folder, "content").unwrap();
        let names = [dropped.name.clone(), renamed.name.clone()];
        drop((dropped, renamed));
        for name in names {
            assert_eq!(rustix::fs::statat(&workspace.folder, name, AtFlags::empty()).err(), Some(Errno::NOENT));
        }
        assert!(place.path().join("content").exists());
        assert!(workspace.can_rename_without_replacing().unwrap());
    }
}
