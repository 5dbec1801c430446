//! Adopting descriptors that the registry handed down, and asking who else writes to a file: the one place of the kit
//! where the compiler cannot vouch.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// By its number in the kernel, since the bindings lack the name.
const F_SETSIG: i32 = 10;

/// Numbers that were adopted: each has one owner from then on.
static ADOPTED: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Takes ownership of the inherited descriptor `number`, and keeps it from being inherited further.
///
/// The caller names a descriptor that the parent process opened for this one, by its word in the environment.
pub(crate) fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "descriptors up to 2 are the standard streams"));
    }
    let mut adopted = ADOPTED.lock().unwrap_or_else(PoisonError::into_inner);
    if adopted.contains(&number) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the descriptor is in use already"));
    }
    // SAFETY: `number` is not -1, and the borrow ends with this function. Were the descriptor not open, the kernel
    // would say so at its first use, in the next line.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(borrowed)?;
    fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    adopted.insert(number);
    // SAFETY: the descriptor is open, as was just seen. It is one the parent opened for this process, so nothing here
    // owns it; and `ADOPTED` lets each number through once, so nothing else here will.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether anybody has the file open for writing, in whatever process. `file` is open for reading alone, and the file is
/// this user's own; otherwise, and where a file system cannot tell, it is an error.
///
/// The kernel grants a lease for reading on a file that nobody can write to. It is given back at once: who opens the
/// file for writing meanwhile waits that long.
pub fn is_being_written(file: impl AsFd) -> io::Result<bool> {
    // Who holds a lease is told that somebody waits for it, by a signal that ends the process unless it is another one.
    lease(file.as_fd(), F_SETSIG, libc::SIGURG)?;
    match lease(file.as_fd(), libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(()) => lease(file.as_fd(), libc::F_SETLEASE, libc::F_UNLCK).map(|()| false),
        Err(conflict) if conflict.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(problem) => Err(problem),
    }
}

fn lease(file: BorrowedFd<'_>, command: i32, argument: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as it is borrowed, and these commands take a number and no address.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn adopts_an_open_descriptor_once() {
        let number = File::open("/dev/null").unwrap().into_raw_fd();
        let owned = adopt(number).unwrap();
        assert!(fcntl_getfd(&owned).unwrap().contains(FdFlags::CLOEXEC));
        assert_eq!(adopt(number).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn refuses_what_is_not_open_and_the_standard_streams() {
        assert!(adopt(1_000_000).is_err());
        assert!(adopt(2).is_err());
        assert!(adopt(-1).is_err());
    }

    #[test]
    fn tells_whether_anybody_can_write_to_a_file() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let writer = File::create(&path).unwrap();
        let (copy, reader) = (writer.try_clone().unwrap(), File::open(&path).unwrap());
        assert!(is_being_written(&reader).unwrap());
        drop(writer);
        assert!(is_being_written(&reader).unwrap(), "a copy is open");
        drop(copy);
        let _other_reader = File::open(&path).unwrap();
        assert!(!is_being_written(&reader).unwrap());
        assert!(!is_being_written(&reader).unwrap(), "the lease was not given back");
        File::options().append(true).open(&path).unwrap();
    }
}
