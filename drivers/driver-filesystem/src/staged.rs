//! [`Staged`]: the file of a write session, which lies at the staging path itself, as distribution has it.
//!
//! A file that has been published is never written to: publishing renames it away from the staging path with every writer
//! fenced, and a file that has a second name is not continued.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use driver_kit::{Bytes, Path, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{Advice, AtFlags, FileType, OFlags, Stat, fadvise, fdatasync, fstat, ftruncate, openat, unlinkat};
use rustix::io::{self, Errno};

use crate::claims::Claim;
use crate::error::{fenced, foreign, no_session, offset_invalid, writing};
use crate::info::{kind, size};
use crate::marker::{self, Locked, Marker};
use crate::positional::write_all;
use crate::root::{WRITABLE, present, split};
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
        let (claim, (file, marker)) = self.claims.take_over(path, || match offset {
            0 => self.start_over(path),
            _ => self.go_on(path, offset),
        })?;
        let (store, path) = (Arc::clone(self), path.clone());
        Ok(Staged { store, path, file, claim, marker, is_unsynced: AtomicBool::new(true) })
    }

    fn start_over(&self, path: &Path) -> Result<(OwnedFd, Option<Marker>)> {
        let (_, opened) = self.in_folder(path, |folder, name| {
            let locked = self.lock_marker(folder, name)?;
            match unlinkat(folder, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
            let file = openat(folder, name, WRITABLE | OFlags::CREATE | OFlags::EXCL, CONTENT)?;
            Ok((file, locked.map(Locked::claim).transpose()?))
        })?;
        Ok(opened)
    }

    fn go_on(&self, path: &Path, offset: u64) -> Result<(OwnedFd, Option<Marker>)> {
        let (folder, name) = self.existing_folder(path)?.ok_or_else(no_session)?;
        let locked = self.lock_marker(&folder, name).map_err(writing)?;
        let (file, stat) = self.find_staged(path)?.filter(|(_, stat)| stat.st_nlink == 1).ok_or_else(no_session)?;
        if offset > size(&stat) {
            return Err(offset_invalid(size(&stat)));
        }
        ftruncate(&file, offset).map_err(writing)?;
        Ok((file, locked.map(Locked::claim).transpose().map_err(writing)?))
    }

    fn lock_marker(&self, folder: &OwnedFd, name: &str) -> io::Result<Option<Locked>> {
        self.settings.shared.then(|| Locked::new(folder, name)).transpose()
    }

    /// The file of the session at `path`, if there is one.
    pub(crate) fn find_staged(&self, path: &Path) -> Result<Option<(OwnedFd, Stat)>> {
        let file = match self.root.open(path, WRITABLE) {
            Err(Errno::ISDIR) => return Ok(None),
            found => present(found).map_err(writing)?,
        };
        let Some(file) = file else { return Ok(None) };
        let stat = fstat(&file).map_err(writing)?;
        if kind(&stat) == FileType::RegularFile { Ok(Some((file, stat))) } else { Err(foreign()) }
    }

    /// Runs `work` while nobody writes to the session at `path`, in whichever process. When it succeeds the session is over,
    /// and all its writers are fenced.
    pub(crate) fn end_session<T>(&self, path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.writer()?;
        let (_, done) = self.claims.take_over(path, || {
            let locked = match self.existing_folder(path)? {
                Some((folder, name)) => present(self.lock_marker(&folder, name)).map_err(writing)?.flatten(),
                None => None,
            };
            let done = match locked {
                Some(locked) => locked.revoked_while(work)?,
                None => work()?,
            };
            self.remove_marker(path);
            Ok(done)
        })?;
        Ok(done)
    }

    /// Tidies up: a marker that stays marks nobody's right to anything.
    pub(crate) fn remove_marker(&self, path: &Path) {
        if let Ok(Some((folder, name))) = self.existing_folder(path)
            && self.settings.shared
        {
            marker::remove(&folder, name);
        }
    }

    /// Ends a session whose file could not be synced.
    ///
    /// The kernel may have dropped bytes that it still shows, and would call the next sync a success: nothing may be built on
    /// such a file.
    pub(crate) fn discard(&self, path: &Path) {
        if let Ok(Some((folder, name))) = self.existing_folder(path) {
            let _ = unlinkat(&folder, name, AtFlags::empty());
        }
    }
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
        self.as_newest(|| fdatasync(&self.file).inspect_err(|_| self.store.discard(&self.path)))?;
        let (folder, _) = self.store.existing_folder(&self.path)?.ok_or_else(no_session)?;
        self.store.settle(&split(&self.path)?.0, &folder)?;
        self.as_newest(|| Ok(()))?;
        self.is_unsynced.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether every byte of the session is on the disk: only sure where nobody else can have written.
    pub(crate) fn is_synced(&self) -> bool {
        self.marker.is_none() && self.claim.hold().is_some() && !self.is_unsynced.load(Ordering::Relaxed)
    }

    /// Runs `work` while nobody can take the session over. A file without a name is that of a deleted session.
    fn as_newest(&self, work: impl FnOnce() -> io::Result<()>) -> Result<()> {
        let _claim = self.claim.hold().ok_or_else(fenced)?;
        let _marker = match &self.marker {
            Some(marker) => Some(marker.hold()?),
            None => None,
        };
        work().map_err(writing)?;
        let has_name = fstat(&self.file).map_err(writing)?.st_nlink > 0;
        if has_name { Ok(()) } else { Err(no_session()) }
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
