//! [`Hardened`]: the folders whose own names are known to be on the disk.
//!
//! A content survives the loss of power only if every folder above it does. Whoever makes a folder syncs the one above, but
//! whoever merely finds a folder cannot know whether its maker came that far, or was killed before. So each folder is
//! followed up to the root once, and remembered here. It knows nothing of content.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use driver_kit::Path;

/// Beyond this many it starts anew: then a few folders are synced once more.
const FOLDERS_MAX: usize = 8192;

/// Folders by path, with the inode that had the path at the time.
#[derive(Default)]
pub(crate) struct Hardened {
    folders: Mutex<BTreeMap<Path, u64>>,
}

impl Hardened {
    pub(crate) fn knows(&self, folder: &Path, inode: u64) -> bool {
        self.lock().get(folder) == Some(&inode)
    }

    pub(crate) fn add(&self, folder: &Path, inode: u64) {
        let mut folders = self.lock();
        if folders.len() >= FOLDERS_MAX {
            folders.clear();
        }
        folders.insert(folder.clone(), inode);
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Path, u64>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_a_folder_with_all_below_it_and_no_other() {
        let path = |text| Path::parse(text).unwrap();
        let hardened = Hardened::default();
        let all = ["/a", "/a/b", "/a/b/c", "/a/b-c", "/a/bc"];
        all.iter().for_each(|text| hardened.add(&path(text), 7));
        hardened.forget(&path("/a/b"), || ());
        let known: Vec<_> = all.into_iter().filter(|text| hardened.knows(&path(text), 7)).collect();
        assert_eq!(known, ["/a", "/a/b-c", "/a/bc"]);
        assert!(!hardened.knows(&path("/a"), 8));
    }
}
