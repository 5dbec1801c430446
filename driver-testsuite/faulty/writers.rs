//! Who can write to a file, as the processes of this host show it. It knows no store.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What the mode of an entry says when its file is open for writing.
const WRITES: u32 = 0o200;

/// Whether another process has the file at `place` open for writing. This one writes to none that it handed out.
pub(crate) fn has_other(place: &Path) -> io::Result<bool> {
    let file = fs::metadata(place)?;
    let own = std::process::id().to_string();
    for process in fs::read_dir("/proc")?.flatten().filter(|process| *process.file_name() != *own) {
        // What is no process, and whoever is another user's, shows nothing.
        let Ok(entries) = fs::read_dir(process.path().join("fd")) else { continue };
        let is_writer = |entry: &Path| {
            let is_same = fs::metadata(entry).is_ok_and(|open| (open.dev(), open.ino()) == (file.dev(), file.ino()));
            is_same && fs::symlink_metadata(entry).is_ok_and(|entry| entry.mode() & WRITES != 0)
        };
        if entries.flatten().any(|entry| is_writer(&entry.path())) {
            return Ok(true);
        }
    }
    Ok(false)
}
