//! Write sessions: one file each, whose name counts the writers it has had. Renaming it is what fences the last one.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use storagedriver_proto::Path;
use tokio::sync::watch;

use super::tree::entries;
use super::{Store, Turn};
use crate::failure::{Result, fenced, not_found, offset_invalid};

/// A session that a stream of this process writes.
pub(super) struct Staged {
    number: u64,
    file: File,
    /// What the granularity keeps from being persisted.
    pub(super) tail: Vec<u8>,
    /// Dropped with this: so the writer learns that it is fenced.
    _fence: watch::Sender<()>,
}

/// The file of a session.
pub(super) struct SessionFile {
    pub(super) place: PathBuf,
    number: u64,
    pub(super) size: u64,
}

/// A stream's hold on a session.
pub(crate) struct Writer {
    store: Arc<Store>,
    path: Path,
    number: u64,
    fence: watch::Receiver<()>,
}

impl Store {
    pub(super) fn session_folder(&self, path: &Path) -> PathBuf {
        path.components().fold(self.root.join("sessions"), |place, component| place.join(component))
    }

    /// The session at `path`.
    pub(super) fn session(&self, path: &Path) -> Result<Option<SessionFile>> {
        let mut latest: Option<SessionFile> = None;
        for (name, entry) in entries(&self.session_folder(path))? {
            let Some(number) = name.strip_prefix('=').and_then(|number| number.parse().ok()) else { continue };
            if latest.as_ref().is_none_or(|latest| latest.number < number) {
                latest = Some(SessionFile { place: entry.path(), number, size: entry.metadata()?.len() });
            }
        }
        Ok(latest)
    }

    /// How much of `size` bytes counts as persisted: what lies beyond came with a Commit that did not end.
    pub(super) fn rounded(&self, size: u64) -> u64 {
        size - size % self.settings.capabilities.granularity
    }

    pub(super) fn remove_sessions(&self, path: &Path, recursive: bool) -> Result<()> {
        let folder = self.session_folder(path);
        for (name, entry) in entries(&folder)? {
            if name.starts_with('=') {
                fs::remove_file(entry.path())?;
            }
        }
        if recursive && folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        self.prune(&folder.join("="), "sessions");
        Ok(())
    }
}

impl Turn<'_> {
    /// Opens the session at `path`, created or cut to `offset`, for a new writer.
    fn open_session(&mut self, path: &Path, offset: u64) -> Result<(u64, watch::Receiver<()>)> {
        let existing = self.store.session(path)?;
        let persisted = existing.as_ref().map(|session| self.store.rounded(session.size));
        if offset > 0 {
            let persisted = persisted.ok_or_else(not_found)?;
            if offset > persisted || self.store.rounded(offset) != offset {
                return Err(offset_invalid(persisted));
            }
        }
        let number = existing.as_ref().map_or(1, |session| session.number + 1);
        let file = self.session_file(path, number, existing.as_ref())?;
        file.set_len(offset)?;
        self.store.settle(&file)?;
        let (fence, fenced) = watch::channel(());
        self.inner.staged.insert(path.clone(), Staged { number, file, tail: Vec::new(), _fence: fence });
        Ok((number, fenced))
    }

    fn session_file(&self, path: &Path, number: u64, existing: Option<&SessionFile>) -> Result<File> {
        let folder = self.store.session_folder(path);
        let place = folder.join(format!("={number}"));
        match existing {
            Some(session) => fs::rename(&session.place, &place)?,
            None => fs::create_dir_all(&folder)?,
        }
        let file = File::options().append(true).create(true).open(&place)?;
        self.store.settle_folders(&place)?;
        Ok(file)
    }

    /// The session, when `writer` still has it.
    fn held_by(&mut self, writer: &Writer) -> Result<&mut Staged> {
        if !writer.place().exists() {
            return Err(fenced());
        }
        match self.inner.staged.get_mut(&writer.path) {
            Some(staged) if staged.number == writer.number => Ok(staged),
            _ => Err(fenced()),
        }
    }
}

impl Writer {
    pub(crate) fn open(store: Arc<Store>, path: Path, offset: u64) -> Result<Self> {
        let (number, fence) = store.turn()?.open_session(&path, offset)?;
        Ok(Writer { store, path, number, fence })
    }

    /// Takes bytes, and tells how many are persisted.
    pub(crate) fn append(&self, data: &[u8]) -> Result<u64> {
        let mut turn = self.store.turn()?;
        self.store.check_space(data.len())?;
        let staged = turn.held_by(self)?;
        staged.tail.extend_from_slice(data);
        let whole = usize::try_from(self.store.rounded(staged.tail.len() as u64)).unwrap_or_default();
        staged.file.write_all(&staged.tail[..whole])?;
        staged.tail.drain(..whole);
        Ok(staged.file.metadata()?.len())
    }

    /// Persists what can be, and tells how much that is.
    pub(crate) fn flush(&self) -> Result<u64> {
        let mut turn = self.store.turn()?;
        let staged = turn.held_by(self)?;
        self.store.settle(&staged.file)?;
        Ok(staged.file.metadata()?.len())
    }

    /// Completes when the session has another writer, or has ended. Another process is looked after now and then.
    pub(crate) async fn fenced(&self, look_every: Duration) {
        let mut fence = self.fence.clone();
        loop {
            let waited = tokio::time::timeout(look_every, fence.changed()).await;
            let is_shared = self.store.settings.capabilities.shared;
            if waited.is_ok() || (is_shared && !self.place().exists()) {
                return;
            }
        }
    }

    fn place(&self) -> PathBuf {
        FilePath::join(&self.store.session_folder(&self.path), format!("={}", self.number))
    }
}

impl Drop for Writer {
    /// The end of the stream means nothing to the session; only the tail is gone.
    fn drop(&mut self) {
        let mut inner = self.store.inner();
        if inner.staged.get(&self.path).is_some_and(|staged| staged.number == self.number) {
            inner.staged.remove(&self.path);
        }
    }
}
