//! Adopting descriptors that the registry handed down: the one place of the kit where the compiler cannot vouch.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

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

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn adopts_an_open_descriptor_once() {
        let number = std::fs::File::open("/dev/null").unwrap().into_raw_fd();
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
}
