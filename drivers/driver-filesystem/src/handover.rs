//! Content as an open file, for whoever holds it to read for as long as they like.
//!
//! What they read never changes. A file has its path only once it is whole, and is never written to again: commit waits
//! for a write that is under way, in this process or another, and lets none follow (see `claims` and `marker`). A new
//! content is a new file, and a file that has lost its name stays for those who hold it.
//!
//! All of this rests on one kernel that keeps the locks and the files: see [`Keeper`]. Only at a path where a session is
//! written the file is that of the session, and changes.

use driver_kit::{Error, ErrorKind, Info, Path, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_setfl, fstatfs};
use rustix::io;

use crate::error::reading;
use crate::info::content;
use crate::store::Store;

/// Who keeps the files of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// This host alone: ext4, XFS, Btrfs, ZFS, F2FS, bcachefs, tmpfs.
    Host,
    /// This host too, in layers. What lies in a lower one cannot be moved away to be deleted but is deleted where it is,
    /// its markers without their locks: enough for one process, not for several.
    Layers,
    /// Perhaps another host. It may take a lock for lost whose holder is only slow, and then takes what that one had
    /// still to write; and a file that somebody deletes there is gone for those who hold it here.
    Others,
}

impl Keeper {
    /// Who keeps the file system of `file`, by the kernel's number for its kind.
    pub(crate) fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(match fstatfs(file)?.f_type as u32 {
            0xef53 | 0x5846_5342 | 0x9123_683e | 0x2fc1_2fc1 | 0xf2f5_2010 | 0xca45_1a4e | 0x0102_1994 => Keeper::Host,
            0x794c_7630 => Keeper::Layers,
            _ => Keeper::Others,
        })
    }

    /// Whether an open file can be handed over.
    fn lets_hand_over(self, is_shared: bool) -> bool {
        self == Keeper::Host || (self == Keeper::Layers && !is_shared)
    }
}

impl Store {
    pub(crate) fn hands_over(&self) -> bool {
        self.keeper.lets_hand_over(self.settings.may_be_written_by_others())
    }

    /// The file that is the content of `path`. Part of a store may be another file system than its root.
    pub(crate) fn hand_over(&self, path: &Path, version: Option<&str>) -> Result<(Info, OwnedFd)> {
        let (file, stat) = self.open_version(path, version)?;
        let keeper = Keeper::of(&file).map_err(reading)?;
        if !keeper.lets_hand_over(self.settings.may_be_written_by_others()) {
            return Err(Error::new(ErrorKind::Unsupported, "this content is on a file system of other hosts"));
        }
        // Opening it had not to wait, whatever stood there. Reading may: a reader who cannot wait gets less than there is.
        fcntl_setfl(&file, OFlags::empty()).map_err(reading)?;
        Ok((content(&stat), file))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_is_handed_over_where_this_host_keeps_it_alone() {
        let rows = [(Keeper::Host, [true, true]), (Keeper::Layers, [true, false]), (Keeper::Others, [false, false])];
        for (keeper, wanted) in rows {
            assert_eq!([false, true].map(|is_shared| keeper.lets_hand_over(is_shared)), wanted, "{keeper:?}");
        }
        assert_eq!(Keeper::of(File::open("/proc/self/stat").unwrap()), Ok(Keeper::Others));
        assert_ne!(Keeper::of(tempfile::tempfile().unwrap()), Ok(Keeper::Others));
    }
}
