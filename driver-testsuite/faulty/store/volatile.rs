//! [`Volatile`]: a folder that does not outlive its process by much.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

const PREFIX: &str = "bulkhead-driver-faulty-";

/// The folder of a store that ends with the process.
pub(crate) struct Volatile {
    folder: TempDir,
    _owner: File,
}

impl Volatile {
    /// A new folder. Those of processes that were killed are removed: nobody holds their lock any more.
    pub(crate) fn create() -> io::Result<Self> {
        let all = std::env::temp_dir();
        // A folder that is there and not locked yet would look like that of a dead process.
        let one_at_once = File::create(all.join("bulkhead-driver-faulty.lock"))?;
        flock(&one_at_once, FlockOperation::LockExclusive)?;
        for entry in std::fs::read_dir(&all)?.flatten() {
            let is_one = entry.file_name().to_string_lossy().starts_with(PREFIX);
            let lock = if is_one { File::open(entry.path().join("lock")).ok() } else { None };
            if lock.is_some_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()) {
                // Whatever is left goes with a later attempt.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let owner = File::create(folder.path().join("lock"))?;
        flock(&owner, FlockOperation::LockExclusive)?;
        Ok(Volatile { folder, _owner: owner })
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("store")
    }
}
