//! The lock on a store: one process has it alone, or any number that say so share it.
//!
//! The kernel frees it when its holder dies, however that happens.

use std::thread::sleep;
use std::time::{Duration, Instant};

use driver_kit::{Error, ErrorKind, Result, invalid};
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, OFlags, flock, ftruncate, openat};
use rustix::io::{self, Errno};

use crate::error::writing;
use crate::positional::{read_up_to, write_all};
use crate::root::WRITABLE;
use crate::workspace::OWN_FILE;

const LOCK: &str = "lock";
/// A predecessor that was killed may need this long to finish dying: a disk that is slow keeps it from it.
const PATIENCE: Duration = Duration::from_secs(5);
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Takes the lock, whose file is in `folder`, for as long as the descriptor is open.
pub(crate) fn lock(folder: &OwnedFd, shared: bool) -> Result<OwnedFd> {
    lock_within(folder, shared, PATIENCE)
}

fn lock_within(folder: &OwnedFd, shared: bool, patience: Duration) -> Result<OwnedFd> {
    let file = openat(folder, LOCK, WRITABLE | OFlags::CREATE, OWN_FILE).map_err(writing)?;
    let operation =
        if shared { FlockOperation::NonBlockingLockShared } else { FlockOperation::NonBlockingLockExclusive };
    let begun = Instant::now();
    loop {
        match flock(&file, operation) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) if begun.elapsed() < patience => sleep(ASK_EVERY),
            Err(Errno::WOULDBLOCK) => return Err(held(&file, shared)),
            Err(errno @ (Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP)) => return Err(without_locks(errno)),
            Err(errno) => return Err(writing(errno)),
        }
    }
    sign(&file, shared).map_err(writing)?;
    Ok(file)
}

/// Leaves the number of a process that holds the lock alone, for the sentence that a second one is refused with.
fn sign(file: &OwnedFd, shared: bool) -> io::Result<()> {
    ftruncate(file, 0)?;
    let pid = if shared { String::new() } else { std::process::id().to_string() };
    write_all(file, 0, &[pid.into()])
}

fn without_locks(errno: Errno) -> Error {
    invalid("rootdirectory", "names a folder on a file system without locks: mount it with them").with_source(errno)
}

fn held(file: &OwnedFd, shared: bool) -> Error {
    let pid = read_up_to(file, 0, 16).ok().and_then(|text| String::from_utf8(text).ok()?.parse::<u32>().ok());
    let holder = pid.map_or_else(|| "another process".to_owned(), |pid| format!("another process (number {pid})"));
    let remedy = if shared {
        "has this store for itself: stop it, or give it shared: true as well"
    } else {
        "uses this store: stop it, or give both of them shared: true"
    };
    Error::new(ErrorKind::Unavailable { may_have_happened: false }, format!("{holder} {remedy}"))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode};

    use super::*;
    use crate::root::FOLDER;

    #[test]
    fn a_store_is_for_one_alone_or_for_all_who_share() {
        let rows = [(false, false, false), (false, true, false), (true, false, false), (true, true, true)];
        for (first, second, together) in rows {
            let place = tempfile::tempdir().unwrap();
            let folder = openat(CWD, place.path(), FOLDER, Mode::empty()).unwrap();
            let holder = lock_within(&folder, first, Duration::ZERO).unwrap();
            let other = lock_within(&folder, second, Duration::from_millis(30));
            assert_eq!(other.is_ok(), together, "{first} then {second}");
            if let Err(refused) = other {
                assert_eq!(refused.kind(), ErrorKind::Unavailable { may_have_happened: false });
                let names_holder = refused.to_string().contains(&std::process::id().to_string());
                assert_eq!(names_holder, !first, "{refused}");
            }
            drop(holder);
            assert!(lock_within(&folder, second, Duration::ZERO).is_ok());
        }
    }

    #[test]
    fn a_holder_that_is_just_dying_is_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let folder = openat(CWD, place.path(), FOLDER, Mode::empty()).unwrap();
        let holder = lock_within(&folder, false, Duration::ZERO).unwrap();
        let dying = std::thread::spawn(move || {
            sleep(Duration::from_millis(100));
            drop(holder);
        });
        assert!(lock(&folder, false).is_ok());
        dying.join().unwrap();
    }
}
