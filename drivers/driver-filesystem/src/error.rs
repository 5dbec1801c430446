//! The one table from what the file system answers to what a registry acts on.
//!
//! No sentence here names a path of the host: these messages travel to clients of the driver.

use driver_kit::{Error, ErrorKind};
use rustix::io::Errno;

/// What `errno` means for a call that changes nothing.
pub(crate) fn reading(errno: Errno) -> Error {
    match errno {
        Errno::IO => failure(ErrorKind::Corrupt, "the file system cannot read back what it stored", errno),
        _ => describe(errno, false),
    }
}

/// What `errno` means for a call that was changing something.
pub(crate) fn writing(errno: Errno) -> Error {
    describe(errno, true)
}

fn describe(errno: Errno, may_have_happened: bool) -> Error {
    let (kind, sentence) = match errno {
        Errno::NOENT => (ErrorKind::NotFound, "nothing is stored at this path"),
        Errno::EXIST => (ErrorKind::AlreadyExists, "something is stored at this path already"),
        Errno::NOTDIR => (ErrorKind::PathConflict, "content is stored above this path"),
        Errno::ISDIR | Errno::NOTEMPTY => (ErrorKind::PathConflict, "content is stored below this path"),
        Errno::NOSPC | Errno::DQUOT => (ErrorKind::NoSpace, "the file system is full, or a quota is used up"),
        Errno::FBIG => (ErrorKind::TooLarge, "the file system takes no file this large"),
        Errno::ACCESS | Errno::PERM => (
            ErrorKind::AccessDenied,
            "the file system refuses the driver: check owner and mode of what is below rootdirectory",
        ),
        Errno::LOOP | Errno::NXIO => (
            ErrorKind::AccessDenied,
            "a symbolic link or a special file stands at or above this path, and the driver follows none",
        ),
        Errno::ROFS => (ErrorKind::ReadOnly, "the file system is mounted read-only"),
        Errno::UCLEAN | Errno::BADMSG => (ErrorKind::Corrupt, "the file system says that it is damaged"),
        Errno::XDEV => {
            (ErrorKind::Internal, "part of the store is on another file system, where nothing can be moved to")
        }
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS => {
            (ErrorKind::Unavailable { may_have_happened }, "the system is out of descriptors or memory")
        }
        Errno::AGAIN | Errno::BUSY | Errno::CANCELED | Errno::STALE | Errno::TIMEDOUT | Errno::NOLCK => {
            (ErrorKind::Unavailable { may_have_happened }, "the file system does not answer now")
        }
        _ => (ErrorKind::Internal, "the file system failed"),
    };
    failure(kind, sentence, errno)
}

fn failure(kind: ErrorKind, sentence: &str, errno: Errno) -> Error {
    Error::new(kind, sentence).with_source(errno)
}

/// Nothing is stored at the path of a call that needs something.
pub(crate) fn not_found() -> Error {
    reading(Errno::NOENT)
}

/// Neither a file nor a folder stands at the path.
pub(crate) fn foreign() -> Error {
    reading(Errno::LOOP)
}

/// There are fewer bytes than the file said it had.
pub(crate) fn shortened() -> Error {
    Error::new(ErrorKind::Corrupt, "the content is shorter than its size")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_apart() {
        let unavailable = |may_have_happened| ErrorKind::Unavailable { may_have_happened };
        let rows = [
            (Errno::NOSPC, ErrorKind::NoSpace, ErrorKind::NoSpace),
            (Errno::DQUOT, ErrorKind::NoSpace, ErrorKind::NoSpace),
            (Errno::ACCESS, ErrorKind::AccessDenied, ErrorKind::AccessDenied),
            (Errno::LOOP, ErrorKind::AccessDenied, ErrorKind::AccessDenied),
            (Errno::ROFS, ErrorKind::ReadOnly, ErrorKind::ReadOnly),
            (Errno::IO, ErrorKind::Corrupt, ErrorKind::Internal),
            (Errno::UCLEAN, ErrorKind::Corrupt, ErrorKind::Corrupt),
            (Errno::MFILE, unavailable(false), unavailable(true)),
            (Errno::STALE, unavailable(false), unavailable(true)),
            (Errno::XDEV, ErrorKind::Internal, ErrorKind::Internal),
            (Errno::CHILD, ErrorKind::Internal, ErrorKind::Internal),
        ];
        for (errno, read, write) in rows {
            assert_eq!((reading(errno).kind(), writing(errno).kind()), (read, write), "{errno}");
        }
    }
}
