//! Deleting content and all that is below a path.
//!
//! A whole folder is first moved to the workspace, in one step, and emptied there. So a crash, or a power failure, leaves all
//! of it or nothing to be seen, one sync suffices, and whoever puts something below it meanwhile loses it with the rest.

use std::ffi::CString;

use driver_kit::{Error, ErrorKind, Path, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, renameat, unlinkat};
use rustix::io::Errno;

use crate::entries::is_occupied;
use crate::error::writing;
use crate::marker;
use crate::pool::Stop;
use crate::root::split;
use crate::store::Store;
use crate::tree::{Durable, remove_tree};

impl Store {
    pub(crate) fn delete(&self, path: &Path, recursive: bool, stop: &Stop) -> Result<()> {
        let Some((folder, name)) = self.existing_folder(path)? else { return Ok(()) };
        match unlinkat(&folder, name, AtFlags::empty()) {
            // Who deleted it before may have been killed before it was on the disk: so it is synced again.
            Ok(()) | Err(Errno::NOENT) => self.finish_delete(path, &folder),
            Err(Errno::ISDIR) if recursive => self.delete_folder(path, &folder, name, stop),
            Err(Errno::ISDIR) if is_occupied(&folder, name).map_err(writing)? => Err(writing(Errno::ISDIR)),
            Err(Errno::ISDIR) => Ok(()),
            Err(errno) => Err(writing(errno)),
        }
    }

    fn finish_delete(&self, path: &Path, folder: &OwnedFd) -> Result<()> {
        self.syncs.sync(folder).map_err(writing)?;
        let (above, name) = split(path)?;
        if self.settings.shared {
            marker::remove_idle(folder, name);
        }
        self.prune(&above);
        Ok(())
    }

    /// The folder above stays even when it is empty now: callers write where they delete, and would make it again.
    fn delete_folder(&self, path: &Path, folder: &OwnedFd, name: &str, stop: &Stop) -> Result<()> {
        let workspace = &self.writer()?.workspace;
        let doomed = workspace.fresh_name();
        let moved = self.hardened.forget(path, || renameat(folder, name, workspace.folder(), &doomed));
        match moved {
            Ok(()) => {
                self.syncs.sync(folder).map_err(writing)?;
                // Nobody will ask for it again: it is emptied to the end, also when the caller goes away.
                remove_tree(workspace.folder(), &c_name(&doomed)?, Durable::No, &Stop::default()).map_err(writing)
            }
            Err(Errno::NOENT) => self.syncs.sync(folder).map_err(writing),
            // A folder of a lower layer, or on a disk of its own, does not move: it is emptied where it is.
            Err(Errno::XDEV) => {
                remove_tree(folder, &c_name(name)?, Durable::Yes, stop).map_err(writing)?;
                self.syncs.sync(folder).map_err(writing)
            }
            Err(errno) => Err(writing(errno)),
        }
    }
}

fn c_name(name: &str) -> Result<CString> {
    CString::new(name).map_err(|nul| Error::new(ErrorKind::RequestInvalid, "a name holds no NUL").with_source(nul))
}
