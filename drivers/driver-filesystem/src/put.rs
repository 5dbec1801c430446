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
        let source = Source { folder: temporary.folder, name: &temporary.name };
        let folder = self.publish(&source, path, if_absent)?;
        self.settle(&split(path)?.0, &folder)?;
        Ok(info)
    }

    /// Gives a synced file the name `target` in one step, in a folder that is still to be settled.
    pub(crate) fn publish(&self, source: &Source<'_>, target: &Path, if_absent: bool) -> Result<OwnedFd> {
        let flags = if if_absent { RenameFlags::NOREPLACE } else { RenameFlags::empty() };
        let rename = |folder: &OwnedFd, name: &str| renameat_with(source.folder, source.name, folder, name, flags);
        Ok(self.in_folder(target, rename)?.0)
    }
}

fn write_whole(file: &OwnedFd, data: Bytes) -> io::Result<Info> {
    write_all(file, 0, &[data])?;
    stamp(file)?;
    fsync(file)?;
    Ok(content(&fstat(file)?))
}
