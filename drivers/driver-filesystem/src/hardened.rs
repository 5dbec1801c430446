//! [`Hardened`]: the folders whose own names are known to be on the disk.
//!
//! A content survives the loss of power only if every folder above it does. Whoever makes a folder syncs the one above, but
//! whoever merely finds a folder cannot know whether its maker came that far, or was killed before. So each folder is
//! followed up to the root once, and remembered here. It knows nothing of content.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use driver_kit::Path;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, StatxFlags, fstat, statx};
use rustix::io;

/// Beyond this many it starts anew: then a few folders are synced once more.
const FOLDERS_MAX: usize = 8192;

/// Folders by path, as they were at the time.
#[derive(Default)]
pub(crate) struct Hardened {
    folders: Mutex<BTreeMap<Path, Identity>>,
}

/// What tells a folder from one that another process made anew at its path: often it gets the inode of the one removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    inode: u64,
    /// Seconds and nanoseconds; some file systems do not tell.
    born: Option<(i64, u32)>,
}

impl Identity {
    pub(crate) fn of(folder: &OwnedFd) -> io::Result<Self> {
        let inode = fstat(folder)?.st_ino;
        let told = statx(folder, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok();
        let told = told.filter(|told| StatxFlags::from_bits_retain(told.stx_mask).contains(StatxFlags::BTIME));
        Ok(Identity { inode, born: told.map(|told| (told.stx_btime.tv_sec, told.stx_btime.tv_nsec)) })
    }

    /// Whether no other folder can have it, whoever makes one.
    pub(crate) fn is_unique(&self) -> bool {
        self.born.is_some()
    }
}

impl Hardened {
    pub(crate) fn knows(&self, folder: &Path, identity: Identity) -> bool {
        self.lock().get(folder) == Some(&identity)
    }

    pub(crate) fn add(&self, folder: &Path, identity: Identity) {
        let mut folders = self.lock();
        if folders.len() >= FOLDERS_MAX {
            folders.clear();
        }
        folders.insert(folder.clone(), identity);
    }

    /// Runs `removal`, which may take `folder` and what is below it away.
    ///
    /// Nobody asks meanwhile: a folder made anew often gets the inode of the one just removed.
    pub(crate) fn forget<T>(&self, folder: &Path, removal: impl FnOnce() -> T) -> T {
        let mut folders = self.lock();
        let outcome = removal();
        let below = folders.range(folder.clone()..).map(|(path, _)| path);
        let stale: Vec<Path> = below.take_while(|path| *path == folder || path.is_below(folder)).cloned().collect();
        for path in stale {
            folders.remove(&path);
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Path, Identity>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rustix::fs::{CWD, Mode, openat};

    use super::*;
    use crate::root::FOLDER;

    #[test]
    fn a_folder_made_anew_is_another_whatever_its_inode() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("folder");
        let make = || {
            std::fs::create_dir(&folder).unwrap();
            Identity::of(&openat(CWD, &folder, FOLDER, Mode::empty()).unwrap()).unwrap()
        };
        let (first, deadline) = (make(), Instant::now() + Duration::from_secs(10));
        if !first.is_unique() {
            return;
        }
        loop {
            std::fs::remove_dir(&folder).unwrap();
            let next = make();
            if next != first {
                break;
            }
            assert!(Instant::now() < deadline, "the clock of the file system stands still");
        }
    }

    #[test]
    fn forgets_a_folder_with_all_below_it_and_no_other() {
        let path = |text| Path::parse(text).unwrap();
        let hardened = Hardened::default();
        let all = ["/a", "/a/b", "/a/b/c", "/a/b-c", "/a/bc"];
        let identity = |inode| Identity { inode, born: None };
        all.iter().for_each(|text| hardened.add(&path(text), identity(7)));
        hardened.forget(&path("/a/b"), || ());
        let known: Vec<_> = all.into_iter().filter(|text| hardened.knows(&path(text), identity(7))).collect();
        assert_eq!(known, ["/a", "/a/b-c", "/a/bc"]);
        assert!(!hardened.knows(&path("/a"), identity(8)));
    }
}
