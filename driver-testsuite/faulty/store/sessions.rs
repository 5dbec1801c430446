//! Write sessions: one file each, whose name counts the writers it has had. Renaming it is what fences the last one.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use storagedriver_proto::Path;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tokio::sync::watch;

use super::tree::{Found, entries};
use super::{Inner, Store, Turn};
use crate::failure::{Failure, Result, failure, fenced, not_found, offset_invalid};
use crate::fault::Fault;
use crate::hello::random;
use crate::writers;

/// Why a session has to wait for whoever has its file.
pub(super) fn handed_out() -> Failure {
    failure(Reason::Unavailable, "somebody can write to the file of the session")
}

/// Sessions that are many.
const MANY: usize = 100;

/// A session that a stream of this process writes.
pub(super) struct Staged {
    number: u64,
    file: File,
    /// The writer before, when it may write once more.
    fenced: Option<u64>,
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
        let root = self.root.join("sessions");
        // No component has a `=`: what another process keeps is never found.
        let root = if Fault::SessionsOfProcess.on() { root.join(format!("={}=", std::process::id())) } else { root };
        path.components().fold(root, |place, component| place.join(component))
    }

    /// The session at `path`.
    pub(super) fn session(&self, path: &Path) -> Result<Option<SessionFile>> {
        let mut latest: Option<SessionFile> = None;
        if self.sabotage.is_ended(path) {
            return Ok(None);
        }
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

    /// The file of the session at `path`, opened at `offset`, for somebody else to write.
    pub(crate) fn hand_out(&self, path: &Path, offset: u64) -> Result<File> {
        let mut turn = self.turn()?;
        if Fault::FileFencesNobody.on()
            && let Some(session) = self.session(path)?
        {
            let file = File::options().read(true).write(true).open(session.place)?;
            return Ok(file.set_len(offset).map(|()| file)?);
        }
        let (number, _fence) = turn.open_session(path, offset)?;
        turn.inner.staged.remove(path);
        turn.inner.handed_out.insert(path.clone());
        let mut place = self.session_folder(path).join(format!("={number}"));
        if Fault::FileCopied.on() {
            let copy = self.root.join("temporary");
            fs::copy(place, &copy)?;
            place = copy;
        }
        let file = File::options().read(true).write(true).append(Fault::FileAppends.on()).open(place)?;
        if Fault::FileUncut.on() {
            file.set_len(file.metadata()?.len() + 1)?;
        }
        Ok(file)
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

impl Inner {
    /// The writer that is fenced only after one more message.
    fn fenced(&self, path: &Path) -> Option<u64> {
        self.staged.get(path).map(|staged| staged.number).filter(|_| Fault::FenceLate.on())
    }
}

impl Turn<'_> {
    /// A driver may ignore the hint; faulty ones do not.
    fn take_hint(&mut self, path: &Path, hint: Option<Path>) -> Result<()> {
        let Some(hint) = hint else { return Ok(()) };
        let other = self.inner.hints.get(path).is_some_and(|known| *known != hint);
        if other && Fault::HintFixed.on() {
            return Err(failure(Reason::RequestInvalid, "the target was another"));
        }
        if Fault::StagedAtTarget.on() && matches!(self.store.at(&hint)?, Found::Nothing) {
            let place = self.store.place(&hint);
            self.make_way(&place)?;
            File::create(place)?;
        }
        self.store.note_hint(path, &hint)?;
        if Fault::HintFixed.on() || Fault::HintWins.on() {
            self.inner.hints.insert(path.clone(), hint);
        }
        Ok(())
    }

    /// Opens the session at `path`, created or cut to `offset`, for a new writer.
    fn open_session(&mut self, path: &Path, offset: u64) -> Result<(u64, watch::Receiver<()>)> {
        let existing = self.store.session(path)?;
        let persisted = existing.as_ref().map(|session| self.store.rounded(session.size));
        if offset > 0 {
            let persisted =
                if Fault::OpenCreates.on() { persisted.unwrap_or(offset) } else { persisted.ok_or_else(not_found)? };
            let is_unaligned = self.store.rounded(offset) != offset && !Fault::OpenUnaligned.on();
            if (offset > persisted && !Fault::OpenLeavesHole.on() && !Fault::FileAnyOffset.on()) || is_unaligned {
                return Err(offset_invalid(persisted));
            }
        }
        if Fault::ManySessionsFail.on() && self.inner.staged.len() >= MANY {
            return Err(failure(Reason::Throttled, "there are many sessions"));
        }
        self.store.sabotage.begin(path);
        let next = if Fault::FenceMissing.on() { 0 } else { 1 };
        // No writer of a session that has ended may be taken for one of this.
        let number = existing.as_ref().map_or_else(|| random() >> 8, |session| session.number + next);
        let existing = self.let_go(path, offset, existing)?;
        let file = self.session_file(path, number, existing.as_ref())?;
        let keeps = if offset == 0 { Fault::OpenKeepsBytes } else { Fault::OpenKeepsBeyond };
        if !keeps.on() || file.metadata()?.len() < offset {
            file.set_len(offset)?;
        }
        self.store.settle(&file)?;
        let (fence, fenced) = watch::channel(());
        let staged = Staged { number, file, tail: Vec::new(), fenced: self.inner.fenced(path), _fence: fence };
        self.inner.staged.insert(path.clone(), staged);
        Ok((number, fenced))
    }

    /// What is there to go on with: a file that somebody can write to is refused, or left to them when there is nothing to
    /// keep of it.
    fn let_go(&self, path: &Path, offset: u64, existing: Option<SessionFile>) -> Result<Option<SessionFile>> {
        let Some(session) = existing else { return Ok(None) };
        if !self.is_handed_out(path, &session)? {
            return Ok(Some(session));
        }
        match offset {
            0 if Fault::FileStartedOver.on() => Ok(Some(session)),
            0 => Ok(fs::remove_file(&session.place).map(|()| None)?),
            _ if Fault::FileContinued.on() => Ok(Some(session)),
            _ => Err(handed_out()),
        }
    }

    /// Whether somebody else can write to the session.
    pub(super) fn is_handed_out(&self, path: &Path, session: &SessionFile) -> Result<bool> {
        let is_known = self.inner.handed_out.contains(path) || !Fault::FileOfProcess.on();
        // Where a stream of this process writes, nobody else can.
        let can_be = self.store.settings.capabilities.write_descriptors && !self.inner.staged.contains_key(path);
        Ok(can_be && is_known && writers::has_other(&session.place)?)
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
        let lets_go_on =
            [Fault::FenceOfProcess, Fault::DeleteKeepsWriters, Fault::CommitKeepsWriters, Fault::FenceLate];
        if !writer.place().exists() && !lets_go_on.into_iter().any(Fault::on) {
            return Err(fenced());
        }
        match self.inner.staged.get_mut(&writer.path) {
            Some(staged) if staged.number == writer.number => Ok(staged),
            Some(staged) if staged.fenced == Some(writer.number) => {
                staged.fenced = None;
                Ok(staged)
            }
            _ => Err(fenced()),
        }
    }
}

impl Writer {
    pub(crate) fn open(store: Arc<Store>, path: Path, offset: u64, hint: Option<Path>) -> Result<Self> {
        let mut turn = store.turn()?;
        turn.take_hint(&path, hint)?;
        let (number, fence) = turn.open_session(&path, offset)?;
        drop(turn);
        Ok(Writer { store, path, number, fence })
    }

    /// Takes bytes, and tells how many are persisted.
    pub(crate) fn append(&self, data: &[u8]) -> Result<u64> {
        let data = &*self.store.sabotage.buffered(data);
        let mut turn = self.store.turn()?;
        self.store.check_space(data.len())?;
        let staged = turn.held_by(self)?;
        staged.tail.extend_from_slice(data);
        let mut whole = usize::try_from(self.store.rounded(staged.tail.len() as u64)).unwrap_or_default();
        if Fault::WritesBuffered.on() {
            whole = 0;
        }
        staged.file.write_all(&staged.tail[..whole])?;
        staged.tail.drain(..whole);
        Ok(staged.file.metadata()?.len())
    }

    /// Persists what can be, and tells how much that is.
    pub(crate) fn flush(&self) -> Result<u64> {
        let mut turn = self.store.turn()?;
        let staged = turn.held_by(self)?;
        if Fault::WritesBuffered.on() {
            let tail = std::mem::take(&mut staged.tail);
            staged.file.write_all(&tail)?;
        }
        self.store.settle(&staged.file)?;
        let persisted = staged.file.metadata()?.len();
        if Fault::FlushUnrounded.on() {
            return Ok(persisted + staged.tail.len() as u64);
        }
        let lag = if Fault::FlushLags.on() { self.store.settings.capabilities.granularity } else { 0 };
        Ok(persisted.saturating_sub(lag))
    }

    /// Completes when the session has another writer, or has ended. Another process is looked after now and then.
    pub(crate) async fn fenced(&self, look_every: Duration) {
        let mut fence = self.fence.clone();
        loop {
            let waited = tokio::time::timeout(look_every, fence.changed()).await;
            let is_shared = self.store.settings.capabilities.shared && !Fault::FenceOfProcess.on();
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
        if Fault::EndEndsSession.on() && self.place().exists() {
            // Whoever opened it anew has renamed it.
            let _ = fs::remove_file(self.place());
        }
        if Fault::EndedWriterLeaks.on() {
            return;
        }
        let mut inner = self.store.inner();
        if inner.staged.get(&self.path).is_some_and(|staged| staged.number == self.number) {
            inner.staged.remove(&self.path);
        }
    }
}
