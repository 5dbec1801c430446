//! [`RuntimeFolder`]: a folder of this registry alone, for the socket of its driver. It knows nothing of what is in it.

use std::fs::{self, DirEntry, File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

const PREFIX: &str = "bulkhead-";
/// The files that a registry has in its folder: the second is at the path of the first with the protocol's suffix.
pub(super) const SOCKET_FILE: &str = "driver.sock";
pub(super) const DESCRIPTOR_SOCKET_FILE: &str = "driver.sock.fd";
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

/// Removes the folders of registries that were killed.
fn remove_leftovers(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        // What cannot be removed is somebody else's, or the next registry's.
        let _ = remove_leftover(&entry.path());
    }
}

/// A folder may be anybody's whatever its name: only one that holds our sockets and nothing else is removed.
fn remove_leftover(folder: &Path) -> io::Result<()> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<DirEntry>>>()?;
    if entries.is_empty() || !entries.iter().all(is_socket) || !is_leftover(folder)? {
        return Ok(());
    }
    entries.iter().try_for_each(|socket| fs::remove_file(socket.path()))?;
    fs::remove_dir(folder)
}

fn is_socket(entry: &DirEntry) -> bool {
    let ours = [SOCKET_FILE, DESCRIPTOR_SOCKET_FILE].iter().any(|name| entry.file_name() == *name);
    ours && entry.file_type().is_ok_and(|kind| kind.is_socket())
}

fn is_leftover(folder: &Path) -> io::Result<bool> {
    let found = folder.symlink_metadata()?;
    let old = found.modified()?.elapsed().is_ok_and(|age| age > LEFTOVER_AGE);
    Ok(found.is_dir() && old && File::open(folder)?.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
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
        let names =
            ["bulkhead-killed", "bulkhead-starting", "other", "bulkhead-data", "bulkhead-notes", "bulkhead-new"];
        let folders = names.map(|name| parent.path().join(name));
        folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        let [killed, starting, other, data, notes, empty] = folders;
        for folder in [&killed, &starting, &other, &data] {
            UnixListener::bind(folder.join(SOCKET_FILE)).unwrap();
        }
        UnixListener::bind(killed.join(DESCRIPTOR_SOCKET_FILE)).unwrap();
        fs::write(data.join("precious"), "").unwrap();
        fs::write(notes.join(SOCKET_FILE), "").unwrap();
        [living.folder.path(), &killed, &other, &data, &notes, &empty].into_iter().for_each(age);
        let next = RuntimeFolder::make_in(parent.path()).unwrap();
        assert!(!killed.exists());
        let kept = [living.folder.path(), next.folder.path(), &starting, &other, &data, &notes, &empty];
        assert!(kept.iter().all(|folder| folder.exists()) && data.join("precious").exists());
        let mode = next.folder.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
