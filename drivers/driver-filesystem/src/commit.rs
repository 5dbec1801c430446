//! Publishing a write session, and moving content: one rename, with the way back to be found after a crash.
//!
//! The staged file has its name until the target has it, and the target is complete from the moment it has one. Where the
//! loss of power can bring the old name back beside the new one, that is a session to start over and no more: see `staged`.

use driver_kit::{Error, ErrorKind, Info, Path, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Stat, fstat, fsync, unlinkat};
use rustix::io;

use crate::error::{no_session, not_found, offset_invalid, writing};
use crate::info::{content, size, stamp};
use crate::put::Source;
use crate::root::split;
use crate::store::Store;

/// How a session is to be published.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) size: u64,
    pub(crate) if_absent: bool,
    /// Every byte of it is on the disk already.
    pub(crate) is_synced: bool,
}

impl Store {
    /// Publishes the session at `path` at `target`.
    pub(crate) fn commit(&self, path: &Path, target: &Path, terms: Terms) -> Result<Info> {
        if path == target {
            return Err(Error::new(ErrorKind::RequestInvalid, "a session cannot be committed to its own staging path"));
        }
        self.end_session(path, || match self.staged_of_length(path, terms.size)? {
            Some(file) if terms.if_absent => self.publish_staged(&file, path, target, terms),
            Some(file) => match self.content_of_length(target, terms.size)? {
                Some(there) => self.keep(&there, path, target),
                None => self.publish_staged(&file, path, target, terms),
            },
            None => self.committed_before(target, terms.size),
        })
    }

    fn staged_of_length(&self, path: &Path, length: u64) -> Result<Option<OwnedFd>> {
        match self.find_staged(path)? {
            Some((_, stat)) if size(&stat) != length => Err(offset_invalid(size(&stat))),
            found => Ok(found.map(|(file, _)| file)),
        }
    }

    fn content_of_length(&self, path: &Path, length: u64) -> Result<Option<(OwnedFd, Stat)>> {
        match self.open_content(path) {
            Ok((file, stat)) => Ok(Some((file, stat)).filter(|(_, stat)| size(stat) == length)),
            Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    fn publish_staged(&self, file: &OwnedFd, path: &Path, target: &Path, terms: Terms) -> Result<Info> {
        let info = seal(file, terms.is_synced).map_err(|errno| {
            self.discard(path);
            writing(errno)
        })?;
        let (folder, name) = self.existing_folder(path)?.ok_or_else(no_session)?;
        self.publish(&Source { folder: &folder, name }, target, terms.if_absent)?;
        Ok(info)
    }

    /// The target has this content already: it stays, and the staged copy goes.
    fn keep(&self, there: &(OwnedFd, Stat), path: &Path, target: &Path) -> Result<Info> {
        let info = self.make_durable(there, target)?;
        if let Some((folder, name)) = self.existing_folder(path)? {
            unlinkat(&folder, name, AtFlags::empty()).map_err(writing)?;
        }
        Ok(info)
    }

    /// A commit that was killed after the rename is done once the target is durable.
    fn committed_before(&self, target: &Path, length: u64) -> Result<Info> {
        let there = self.content_of_length(target, length)?.ok_or_else(no_session)?;
        self.make_durable(&there, target)
    }

    fn make_durable(&self, (file, stat): &(OwnedFd, Stat), path: &Path) -> Result<Info> {
        fsync(file).map_err(writing)?;
        if let Some((folder, _)) = self.existing_folder(path)? {
            self.settle(&split(path)?.0, &folder)?;
        }
        Ok(content(stat))
    }

    pub(crate) fn rename(&self, source: &Path, target: &Path) -> Result<Info> {
        let info = self.end_session(source, || {
            let (_, stat) = self.open_content(source)?;
            let (folder, name) = self.existing_folder(source)?.ok_or_else(not_found)?;
            self.publish(&Source { folder: &folder, name }, target, false)?;
            self.syncs.sync(&folder).map_err(writing)?;
            Ok(content(&stat))
        })?;
        self.prune(&split(source)?.0);
        Ok(info)
    }
}

/// Makes a file ready to be published. Its time need not be on the disk: losing it costs another version, no content.
fn seal(file: &OwnedFd, is_synced: bool) -> io::Result<Info> {
    stamp(file)?;
    if !is_synced {
        fsync(file)?;
    }
    Ok(content(&fstat(file)?))
}
