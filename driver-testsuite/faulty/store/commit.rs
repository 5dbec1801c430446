//! Commit: what was staged becomes content.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use storagedriver_proto::Path;
use storagedriver_proto::v1alpha1::Info;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use super::sessions::{SessionFile, handed_out};
use super::tree::{Found, info_of};
use super::{Store, Turn};
use crate::failure::{Result, failure, not_found, offset_invalid};
use crate::fault::Fault;

impl Store {
    pub(crate) fn commit(&self, path: &Path, target: &Path, size: u64, if_absent: bool) -> Result<Info> {
        let _alone = self.commit_alone(path)?;
        let mut turn = self.turn()?;
        let hint = turn.inner.hints.get(path).filter(|_| Fault::HintWins.on()).cloned();
        let target = hint.as_ref().unwrap_or(target);
        match self.session(path)? {
            Some(_) if Fault::CommitOfProcess.on() && !turn.inner.staged.contains_key(path) => Err(not_found()),
            Some(session) if Fault::CommitGrows.on() && session.size == size => {
                self.commit_growing(turn, &session, target)
            }
            Some(session) => turn.commit_session(&session, path, target, size, if_absent),
            None => self.committed(target, size, if_absent),
        }
    }

    /// There is no session: perhaps because this is a repeat.
    fn committed(&self, target: &Path, size: u64, if_absent: bool) -> Result<Info> {
        match self.at(target)? {
            Found::Content(..) if Fault::CommitOnce.on() => Err(not_found()),
            Found::Content(_, metadata) if metadata.len() == size || Fault::CommitAnySizeRepeats.on() => {
                Ok(info_of(&metadata))
            }
            Found::Nothing if Fault::CommitNothingOk.on() => Ok(Info { size, ..Info::default() }),
            Found::Content(..) if if_absent => Err(failure(Reason::AlreadyExists, "something is there")),
            _ => Err(not_found()),
        }
    }
}

impl Store {
    /// Publishes with a time in which the target grows.
    fn commit_growing(&self, turn: Turn<'_>, session: &SessionFile, target: &Path) -> Result<Info> {
        let content = fs::read(&session.place)?;
        fs::remove_file(&session.place)?;
        self.grow(turn, &content, target)
    }
}

impl Turn<'_> {
    fn commit_session(
        &mut self,
        session: &SessionFile,
        path: &Path,
        target: &Path,
        size: u64,
        if_absent: bool,
    ) -> Result<Info> {
        if self.is_handed_out(path, session)? && !Fault::FileCommitted.on() {
            return Err(handed_out());
        }
        let mut tail = self.inner.staged.get(path).map(|staged| staged.tail.clone()).unwrap_or_default();
        if Fault::CommitForgetsTail.on() {
            tail.clear();
        }
        let persisted = self.store.rounded(session.size);
        if size != persisted + tail.len() as u64 {
            if Fault::WrongSizeEndsSession.on() {
                self.inner.staged.remove(path);
                self.store.remove_sessions(path, false)?;
            }
            let is_cut = Fault::WrongSizeCuts.on() && size < persisted;
            if !Fault::WrongSizeCommits.on() && !is_cut {
                return Err(offset_invalid(persisted));
            }
        }
        self.check_commit(path, target, size, if_absent)?;
        let persisted = if Fault::WrongSizeCuts.on() { persisted.min(size) } else { persisted };
        let file = File::options().append(true).open(&session.place)?;
        // A Commit that did not end may have left its tail.
        file.set_len(persisted)?;
        (&file).write_all(&tail)?;
        let info = self.publish(&self.source(session)?, target)?;
        if Fault::CommitKeepsWriters.on() {
            return Ok(info);
        }
        self.inner.staged.remove(path);
        if !Fault::CommitKeepsSession.on() {
            self.store.remove_sessions(path, false)?;
        }
        Ok(info)
    }

    /// The target may become this.
    fn check_commit(&mut self, path: &Path, target: &Path, size: u64, if_absent: bool) -> Result<()> {
        if Fault::CommitEmptyRefused.on() && size == 0 {
            return Err(failure(Reason::RequestInvalid, "there is no content"));
        }
        if Fault::CommitReplacesNothing.on() && matches!(self.store.at(target)?, Found::Content(..)) {
            return Err(failure(Reason::PathConflict, "something is there"));
        }
        let is_unknown = Fault::IfAbsentOfProcess.on() && !self.store.sabotage.has_put(target);
        let heeds = if_absent && !Fault::CommitIfAbsentIgnored.on() && !is_unknown;
        let outcome = self.store.check_target(target, heeds);
        if outcome.is_err() && Fault::CommitLoserEnds.on() {
            self.inner.staged.remove(path);
            self.store.remove_sessions(path, false)?;
        }
        outcome
    }

    /// What becomes the content: the session's file, or a copy of it when that was declared.
    fn source(&self, session: &SessionFile) -> Result<PathBuf> {
        if !self.store.settings.capabilities.commit_copies && !Fault::CommitKeepsSession.on() {
            return Ok(session.place.clone());
        }
        let temporary = self.store.root.join("temporary");
        fs::copy(&session.place, &temporary)?;
        Ok(temporary)
    }
}
