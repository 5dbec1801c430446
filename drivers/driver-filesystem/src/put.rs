//! Writing content: whole and synced in the workspace first, then under its path in one step.
//!
//! A crash leaves what was there before, or all of the new; what it leaves in the workspace is swept at the next start.

use driver_kit::{Bytes, Info, Path, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{RenameFlags, fstat, fsync, renameat_with};
use rustix::io;

use crate::error::writing;
use crate::info::{content, stamp};
use crate::positional::write_all;
use crate::root::split;
use crate::store::Store;

/// A name to be renamed.
pub(crate) struct Source<'a> {
    pub(crate) folder: &'a OwnedFd,
    pub(crate) name: &'a str,
}

impl Store {
    pub(crate) fn put(&self, path: &Path, data: Bytes, if_absent: bool) -> Result<Info> {
        let temporary = self.writer()?.workspace.temporary().map_err(writing)?;
        let info = write_whole(&temporary.file, data).map_err(writing)?;
        self.publish(&Source { folder: temporary.folder, name: &temporary.name }, path, if_absent)?;
        Ok(info)
    }

    /// Gives a synced file the name `target` in one step, and returns when that survives the loss of power.
    pub(crate) fn publish(&self, source: &Source<'_>, target: &Path, if_absent: bool) -> Result<()> {
        let flags = if if_absent { RenameFlags::NOREPLACE } else { RenameFlags::empty() };
        let rename = |folder: &OwnedFd, name: &str| renameat_with(source.folder, source.name, folder, name, flags);
        let (folder, ()) = self.in_folder(target, rename)?;
        self.settle(&split(target)?.0, &folder)
    }
}

fn write_whole(file: &OwnedFd, data: Bytes) -> io::Result<Info> {
    write_all(file, 0, &[data])?;
    stamp(file)?;
    fsync(file)?;
    Ok(content(&fstat(file)?))
}
