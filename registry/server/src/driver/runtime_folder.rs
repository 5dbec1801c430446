//! [`RuntimeFolder`]: a folder of this registry alone, for the socket of its driver. It knows nothing of what is in it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

const PREFIX: &str = "bulkhead-";
/// A younger folder may belong to a registry that is about to lock it.
const LEFTOVER_AGE: Duration = Duration::from_secs(60);

/// Only this user may enter it, and it is removed with us.
pub(super) struct RuntimeFolder {
    folder: TempDir,
    /// Held as long as we live, so that another registry can tell our folder from what a killed one left.
    _lock: File,
}

impl RuntimeFolder {
    pub(super) fn make_in(parent: &Path) -> io::Result<Self> {
        remove_leftovers(parent);
        let private = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir_in(parent)?;
        let lock = File::open(folder.path())?;
        lock.try_lock()?;
        Ok(RuntimeFolder { folder, _lock: lock })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Removes the folders of registries that were killed. What cannot be removed is somebody else's, or the next one's.
fn remove_leftovers(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        if is_leftover(&entry.path()).unwrap_or(false) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_leftover(folder: &Path) -> io::Result<bool> {
    let found = folder.symlink_metadata()?;
    let old = found.modified()?.elapsed().is_ok_and(|age| age > LEFTOVER_AGE);
    Ok(found.is_dir() && old && File::open(folder)?.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn age(folder: &Path) {
        let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
        File::open(folder).unwrap().set_modified(an_hour_ago).unwrap();
    }

    #[test]
    fn only_what_a_killed_registry_left_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let living = RuntimeFolder::make_in(parent.path()).unwrap();
        let [killed, starting, other] = ["bulkhead-killed", "bulkhead-starting", "other"].map(|name| {
            let folder = parent.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("driver.sock"), "").unwrap();
            folder
        });
        [living.folder.path(), &killed, &other].into_iter().for_each(age);
        let next = RuntimeFolder::make_in(parent.path()).unwrap();
        assert!(!killed.exists());
        assert!([living.folder.path(), next.folder.path(), &starting, &other].iter().all(|folder| folder.exists()));
        let mode = next.folder.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
