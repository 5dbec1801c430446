//! What a file tells about the content it is: size, time and version.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use driver_kit::Info;
use rustix::fd::AsFd;
use rustix::fs::{FileType, Stat, Timespec, Timestamps, UTIME_OMIT, futimens};
use rustix::io;

pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(crate) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

/// The content that a regular file is.
///
/// The version stays with the file when it is renamed, and over restarts. [`stamp`] makes it differ from that of a deleted
/// file whose inode this one got.
pub(crate) fn content(stat: &Stat) -> Info {
    let (seconds, nanoseconds) = (stat.st_mtime, stat.st_mtime_nsec);
    let version = format!("{:x}-{:x}-{seconds:x}.{nanoseconds:x}", stat.st_ino, stat.st_size);
    Info::Content { size: size(stat), modified: modified(stat), version }
}

fn modified(stat: &Stat) -> SystemTime {
    let fraction = Duration::from_nanos(u64::from(u32::try_from(stat.st_mtime_nsec).unwrap_or_default()));
    let seconds = Duration::from_secs(stat.st_mtime.unsigned_abs());
    let whole = if stat.st_mtime < 0 { UNIX_EPOCH.checked_sub(seconds) } else { UNIX_EPOCH.checked_add(seconds) };
    whole.unwrap_or(UNIX_EPOCH) + fraction
}

/// Gives a file that is about to be published the time of now.
///
/// The kernel's own times advance in steps of milliseconds, within which a second file can be written over a first.
pub(crate) fn stamp(file: impl AsFd) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let last_modification =
        Timespec { tv_sec: now.as_secs().try_into().unwrap_or_default(), tv_nsec: now.subsec_nanos().into() };
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    futimens(file, &Timestamps { last_access, last_modification })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamped_file_is_of_now_and_has_a_version_of_its_own() {
        let file = tempfile::tempfile().unwrap();
        let begun = SystemTime::now();
        let mut versions = std::collections::BTreeSet::new();
        for _ in 0..100 {
            stamp(&file).unwrap();
            let Info::Content { modified, version, .. } = content(&rustix::fs::fstat(&file).unwrap()) else {
                panic!("a file is content")
            };
            assert!(modified >= begun);
            versions.insert(version);
        }
        assert_eq!(versions.len(), 100);
    }
}
