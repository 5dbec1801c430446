//! [`Staged`]: the file of a write session, which lies at the staging path itself, as distribution has it.
//!
//! A file that has been published is never written to: publishing renames it away from the staging path with every writer
//! fenced and none in the middle of a write, and a file that has a second name is not continued. Whoever opens a session,
//! publishes it or moves what is at its path does all of that in one folder and under one lock there.
//!
//! A file that was handed out has a writer whom nothing here can stop. So it is neither continued nor published until the
//! kernel says that nobody can write to it any more, whichever process handed it out.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use driver_kit::{Bytes, Error, Path, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{
    Advice, AtFlags, FileType, Mode, OFlags, Stat, fadvise, fcntl_setfl, fdatasync, fstat, ftruncate, openat, unlinkat,
};
use rustix::io::{self, Errno};

use crate::claims::{Claim, Lost};
use crate::error::{foreign, writing};
use crate::info::{kind, size};
use crate::marker::{Locked, Marker};
use crate::positional::write_all;
use crate::put::Source;
use crate::root::{FOLDER, WRITABLE, present, split};
use crate::store::Store;
use crate::workspace::CONTENT;

/// The kernel is asked to begin writing to the disk in steps of this size, so that little is left to wait for at Commit.
const WRITEBACK: NonZeroU64 = NonZeroU64::new(8 << 20).unwrap();

pub(crate) struct Staged {
    store: Arc<Store>,
    path: Path,
    file: OwnedFd,
    claim: Claim,
    /// Only in a shared store: elsewhere the claim is enough.
    marker: Option<Marker>,
    /// Something may not be on the disk: bytes, also such as an earlier writer left, or the name of the file.
    is_unsynced: AtomicBool,
}

impl Store {
    /// Opens the session at `path` for writing at `offset`, and fences all who wrote to it before.
    pub(crate) fn open_staged(self: &Arc<Self>, path: &Path, offset: u64) -> Result<Staged> {
        self.writer()?;
        let open = |may_be_out| self.open_file(path, offset, may_be_out);
        let (claim, (file, marker)) = self.claims.take_over(path, open)?;
        let (store, path) = (Arc::clone(self), path.clone());
        Ok(Staged { store, path, file, claim, marker, is_unsynced: AtomicBool::new(true) })
    }

    /// Opens the session at `path` as [`open_staged`](Self::open_staged) does, for who writes and syncs the file without
    /// this process. Its name is on the disk.
    pub(crate) fn hand_out_staged(&self, path: &Path, offset: u64) -> Result<OwnedFd> {
        self.writer()?;
        let (file, _) = self.claims.hand_out(path, |may_be_out| self.open_file(path, offset, may_be_out))?;
        let (folder, name) = self.existing_folder(path)?.ok_or_else(Error::no_session)?;
        self.check_can_be_handed_out(&file, &Source { folder: &folder, name })?;
        self.settle(&split(path)?.0, &folder)?;
        // As for a descriptor of content: who has it may wait.
        fcntl_setfl(&file, OFlags::empty()).map_err(writing)?;
        Ok(file)
    }

    fn open_file(&self, path: &Path, offset: u64, may_be_out: bool) -> Result<(OwnedFd, Option<Marker>)> {
        match offset {
            0 => self.start_over(path),
            _ => self.go_on(path, offset, may_be_out),
        }
    }

    fn start_over(&self, path: &Path) -> Result<(OwnedFd, Option<Marker>)> {
        let (_, opened) = self.in_folder(path, |folder, name| {
            let locked = self.lock_marker(path, folder, name)?;
            match unlinkat(folder, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
            let file = openat(folder, name, WRITABLE | OFlags::CREATE | OFlags::EXCL, CONTENT)?;
            Ok((file, locked.map(Locked::claim).transpose()?))
        })?;
        Ok(opened)
    }

    fn go_on(&self, path: &Path, offset: u64, may_be_out: bool) -> Result<(OwnedFd, Option<Marker>)> {
        let (folder, name) = self.existing_folder(path)?.ok_or_else(Error::no_session)?;
        let locked = self.lock_marker(path, &folder, name).map_err(writing)?;
        let place = Source { folder: &folder, name };
        self.check_let_go(&place, may_be_out)?;
        let (file, stat) = find_staged(&place)?.filter(|(_, stat)| stat.st_nlink == 1).ok_or_else(Error::no_session)?;
        if offset > size(&stat) {
            return Err(Error::offset_invalid(size(&stat)));
        }
        ftruncate(&file, offset).map_err(writing)?;
        Ok((file, locked.map(Locked::claim).transpose().map_err(writing)?))
    }

    /// The lock on the session `name` in `folder`, the one above `path`; only a shared store needs it.
    ///
    /// A folder that is not there any more was moved away to be deleted, and its markers go without their locks.
    fn lock_marker(&self, path: &Path, folder: &OwnedFd, name: &str) -> io::Result<Option<Locked>> {
        if !self.settings.shared {
            return Ok(None);
        }
        let locked = Locked::new(folder, name)?;
        let above = path.parent().ok_or(Errno::NOENT)?;
        let (there, here) = (fstat(self.root.open(&above, FOLDER)?)?, fstat(folder)?);
        let is_there = (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino);
        if is_there { Ok(Some(locked)) } else { Err(Errno::NOENT) }
    }

    /// Runs `work` while nobody writes to the session at `path`, in whichever process. When it succeeds the session is over,
    /// and all its writers are Error::fenced; so once the file is published it must not fail. `work` is told where the staged file
    /// is, if it is anywhere.
    pub(crate) fn end_session<T>(&self, path: &Path, work: impl FnOnce(Option<&Source<'_>>) -> Result<T>) -> Result<T> {
        self.writer()?;
        self.claims.end(path, |may_be_out| {
            let Some((folder, name)) = self.existing_folder(path)? else { return work(None) };
            let place = Source { folder: &folder, name };
            self.check_let_go(&place, may_be_out)?;
            match self.lock_marker(path, &folder, name) {
                Ok(None) => work(Some(&place)),
                Ok(Some(locked)) => {
                    let done = locked.revoked_while(|| work(Some(&place)))?;
                    locked.remove(&folder, name);
                    Ok(done)
                }
                Err(Errno::NOENT | Errno::NOTDIR) => work(None),
                Err(errno) => Err(writing(errno)),
            }
        })
    }

    fn discard_staged(&self, path: &Path) {
        if let Ok(Some((folder, name))) = self.existing_folder(path) {
            Source { folder: &folder, name }.discard();
        }
    }
}

impl Source<'_> {
    /// Ends a session whose file could not be synced.
    ///
    /// The kernel may have dropped bytes that it still shows, and would call the next sync a success: nothing may be built on
    /// such a file.
    pub(crate) fn discard(&self) {
        let _ = unlinkat(self.folder, self.name, AtFlags::empty());
    }
}

/// The file of the session at `place`, if there is one.
pub(crate) fn find_staged(place: &Source<'_>) -> Result<Option<(OwnedFd, Stat)>> {
    let file = match openat(place.folder, place.name, WRITABLE, Mode::empty()) {
        Err(Errno::ISDIR) => return Ok(None),
        found => present(found).map_err(writing)?,
    };
    let Some(file) = file else { return Ok(None) };
    let stat = fstat(&file).map_err(writing)?;
    if kind(&stat) == FileType::RegularFile { Ok(Some((file, stat))) } else { Err(foreign()) }
}

impl Staged {
    /// Writes at `offset`. What was written survives the death of this process.
    pub(crate) fn write(&self, offset: u64, pieces: &[Bytes]) -> Result<()> {
        if pieces.is_empty() {
            return Ok(());
        }
        self.is_unsynced.store(true, Ordering::Relaxed);
        self.as_newest(|| write_all(&self.file, offset, pieces))?;
        self.begin_writeback(offset, pieces.iter().map(|piece| piece.len() as u64).sum());
        Ok(())
    }

    /// Returns when all that was written survives the loss of power.
    pub(crate) fn sync(&self) -> Result<()> {
        if !self.is_unsynced.load(Ordering::Relaxed) {
            return self.as_newest(|| Ok(()));
        }
        // Nobody takes the session over before a file that failed is gone: it would be told of no failure.
        self.as_newest(|| fdatasync(&self.file).inspect_err(|_| self.store.discard_staged(&self.path)))?;
        let (folder, _) = self.store.existing_folder(&self.path)?.ok_or_else(Error::no_session)?;
        self.store.settle(&split(&self.path)?.0, &folder)?;
        self.as_newest(|| Ok(()))?;
        self.is_unsynced.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether every byte of the session is on the disk: only sure where nobody else can have written.
    pub(crate) fn is_synced(&self) -> bool {
        self.marker.is_none() && self.claim.hold().is_ok() && !self.is_unsynced.load(Ordering::Relaxed)
    }

    /// Runs `work` while nobody can take the session over. A file without a name is that of a deleted session.
    fn as_newest(&self, work: impl FnOnce() -> io::Result<()>) -> Result<()> {
        let _claim = self.claim.hold().map_err(|lost| match lost {
            Lost::Superseded => Error::fenced(),
            Lost::Over => Error::no_session(),
        })?;
        let _marker = match &self.marker {
            Some(marker) => Some(marker.hold()?),
            None => None,
        };
        work().map_err(writing)?;
        let has_name = fstat(&self.file).map_err(writing)?.st_nlink > 0;
        if has_name { Ok(()) } else { Err(Error::no_session()) }
    }

    fn begin_writeback(&self, offset: u64, length: u64) {
        let step = WRITEBACK.get();
        let (from, to) = (offset / step * step, (offset + length) / step * step);
        if let Some(length) = NonZeroU64::new(to - from) {
            // Only an advice: pages that are not on the disk yet are written, and stay.
            let _ = fadvise(&self.file, from, Some(length), Advice::DontNeed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn no_session_is_looked_for_in_a_folder_that_was_moved_away() {
        let place = tempfile::tempdir().unwrap();
        let root = |name: &str| place.path().join(name);
        let settings = Settings { location: root(""), shared: true, read_only: false, threads: 25 };
        let (store, path) = (Arc::new(Store::open(settings).unwrap()), Path::parse("/u/data").unwrap());
        drop(store.open_staged(&path, 0).unwrap());
        let (folder, name) = store.existing_folder(&path).unwrap().unwrap();
        assert!(store.lock_marker(&path, &folder, name).unwrap().is_some());
        std::fs::rename(root("u"), root("doomed")).unwrap();
        assert_eq!(store.lock_marker(&path, &folder, name).err(), Some(Errno::NOENT));
        drop(store.open_staged(&path, 0).unwrap());
        assert_eq!(store.lock_marker(&path, &folder, name).err(), Some(Errno::NOENT));
        assert!(root("u/data").exists());
    }
}
