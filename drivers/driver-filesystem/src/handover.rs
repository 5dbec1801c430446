//! Content as an open file, for whoever holds it to read for as long as they like.
//!
//! What they read never changes. A file has its path only once it is whole, and is never written to again: commit waits
//! for a write that is under way, in this process or another, and lets none follow (see `claims` and `marker`). A new
//! content is a new file, and a file that has lost its name stays for those who hold it.
//!
//! All of this rests on one kernel that keeps the locks and the files: see [`Keeper`]. Only at a path where a session is
//! written the file is that of the session, and changes.
//!
//! The file of a session can be had too, to write into, in a store that is one process's alone. Such a writer cannot be
//! fenced; but the kernel knows whether there is one, and until there is none the session is neither continued nor published.

use driver_kit::{Error, ErrorKind, Info, Path, Result, is_being_written};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, fcntl_setfl, fstatfs, openat};
use rustix::io;

use crate::error::reading;
use crate::info::content;
use crate::put::Source;
use crate::root::FILE;
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

    /// Whether files of sessions are handed out.
    pub(crate) fn hands_out(&self) -> bool {
        let can_tell = self.writer().is_ok_and(|writer| writer.can_tell_writers);
        can_tell && !self.settings.shared && self.keeper.lets_hand_over(false)
    }

    /// Whether this very file, which is open here for writing, is one of which it can be told.
    pub(crate) fn check_can_be_handed_out(&self, file: &OwnedFd, place: &Source<'_>) -> Result<()> {
        let reader = openat(place.folder, place.name, FILE, Mode::empty()).map_err(reading)?;
        let can_tell = matches!(is_being_written(&reader), Ok(true));
        if can_tell && Keeper::of(file).map_err(reading)?.lets_hand_over(self.settings.shared) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            "this session is on a file system, or of a user, that keeps it from others",
        ))
    }

    /// A session that was handed out must be closed by who has it before it goes on: what they write cannot be stopped.
    ///
    /// A file of which the kernel does not tell was never handed out.
    pub(crate) fn check_let_go(&self, place: &Source<'_>, may_be_out: bool) -> Result<()> {
        if self.settings.shared || !may_be_out {
            return Ok(());
        }
        // Without a file there that can be opened, whoever asked finds out why.
        let Ok(file) = openat(place.folder, place.name, FILE, Mode::empty()) else { return Ok(()) };
        match is_being_written(&file) {
            Ok(true) => {
                let sentence = "the file of this session was handed out, and is not closed yet";
                Err(Error::new(ErrorKind::Unavailable { may_have_happened: false }, sentence))
            }
            Ok(false) | Err(_) => Ok(()),
        }
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
