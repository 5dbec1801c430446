//! Publishing a write session, and moving content: one rename, with the way back to be found after a crash.
//!
//! The staged file has its name until the target has it, and the target is complete from the moment it has one. Where the
//! loss of power can bring the old name back beside the new one, that is a session to start over and no more: see `staged`.

use driver_kit::{Error, ErrorKind, Info, Path, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, Stat, fstat, fsync, openat, unlinkat};
use rustix::io;

use crate::error::{not_found, writing};
use crate::info::{content, size, stamp};
use crate::put::Source;
use crate::read::content_of;
use crate::root::{FILE, split};
use crate::staged::find_staged;
use crate::store::Store;

/// What became content, and the folder of it that is still to be settled: writers are fenced before that can fail.
type Published = (Info, Option<OwnedFd>);

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
        let (info, folder) = self.end_session(path, |staging| match staged_of_length(staging, terms.size)? {
            Some((place, file)) if terms.if_absent => self.publish_staged(&file, place, target, terms),
            Some((place, file)) => match self.content_of_length(target, terms.size)? {
                Some(there) => self.keep(&there, place, target),
                None => self.publish_staged(&file, place, target, terms),
            },
            None => self.committed_before(target, terms.size),
        })?;
        if let Some(folder) = folder {
            self.settle(&split(target)?.0, &folder)?;
        }
        Ok(info)
    }

    fn content_of_length(&self, path: &Path, length: u64) -> Result<Option<(OwnedFd, Stat)>> {
        match self.open_content(path) {
            Ok((file, stat)) => Ok(Some((file, stat)).filter(|(_, stat)| size(stat) == length)),
            Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    fn publish_staged(&self, file: &OwnedFd, place: &Source<'_>, target: &Path, terms: Terms) -> Result<Published> {
        let info = seal(file, terms.is_synced).map_err(|errno| {
            place.discard();
            writing(errno)
        })?;
        let folder = self.publish(place, target, terms.if_absent)?;
        Ok((info, Some(folder)))
    }

    /// The target has this content already: it stays, and the staged copy goes.
    fn keep(&self, there: &(OwnedFd, Stat), place: &Source<'_>, target: &Path) -> Result<Published> {
        let published = self.make_durable(there, target)?;
        unlinkat(place.folder, place.name, AtFlags::empty()).map_err(writing)?;
        Ok(published)
    }

    /// A commit that was killed after the rename is done once the target is durable.
    fn committed_before(&self, target: &Path, length: u64) -> Result<Published> {
        let there = self.content_of_length(target, length)?.ok_or_else(Error::no_session)?;
        self.make_durable(&there, target)
    }

    fn make_durable(&self, (file, stat): &(OwnedFd, Stat), path: &Path) -> Result<Published> {
        fsync(file).map_err(writing)?;
        if let Some((folder, _)) = self.existing_folder(path)? {
            self.settle(&split(path)?.0, &folder)?;
        }
        Ok((content(stat), None))
    }

    pub(crate) fn rename(&self, source: &Path, target: &Path) -> Result<Info> {
        let (info, folder) = self.end_session(source, |place| {
            let place = place.ok_or_else(not_found)?;
            let (_, stat) = content_of(openat(place.folder, place.name, FILE, Mode::empty()))?;
            Ok((content(&stat), self.publish(place, target, false)?))
        })?;
        self.settle(&split(target)?.0, &folder)?;
        if let Some((folder, _)) = self.existing_folder(source)? {
            self.syncs.sync(&folder).map_err(writing)?;
        }
        self.prune(&split(source)?.0);
        Ok(info)
    }
}

/// The staged file, which must have this length.
fn staged_of_length<'a>(place: Option<&'a Source<'a>>, length: u64) -> Result<Option<(&'a Source<'a>, OwnedFd)>> {
    let Some(place) = place else { return Ok(None) };
    match find_staged(place)? {
        Some((_, stat)) if size(&stat) != length => Err(Error::offset_invalid(size(&stat))),
        found => Ok(found.map(|(file, _)| (place, file))),
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
