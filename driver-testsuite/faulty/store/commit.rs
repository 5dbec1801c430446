//! Commit: what was staged becomes content.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use storagedriver_proto::Path;
use storagedriver_proto::v1alpha1::Info;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use super::sessions::SessionFile;
use super::tree::{Found, info_of};
use super::{Store, Turn};
use crate::failure::{Result, failure, not_found, offset_invalid};

impl Store {
    pub(crate) fn commit(&self, path: &Path, target: &Path, size: u64, if_absent: bool) -> Result<Info> {
        let mut turn = self.turn()?;
        match self.session(path)? {
            Some(session) => turn.commit_session(&session, path, target, size, if_absent),
            None => self.committed(target, size, if_absent),
        }
    }

    /// There is no session: perhaps because this is a repeat.
    fn committed(&self, target: &Path, size: u64, if_absent: bool) -> Result<Info> {
        match self.at(target)? {
            Found::Content(_, metadata) if metadata.len() == size => Ok(info_of(&metadata)),
            Found::Content(..) if if_absent => Err(failure(Reason::AlreadyExists, "something is there")),
            _ => Err(not_found()),
        }
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
        let tail = self.inner.staged.get(path).map(|staged| staged.tail.clone()).unwrap_or_default();
        let persisted = self.store.rounded(session.size);
        if size != persisted + tail.len() as u64 {
            return Err(offset_invalid(persisted));
        }
        self.store.check_target(target, if_absent)?;
        let file = File::options().append(true).open(&session.place)?;
        // A Commit that did not end may have left its tail.
        file.set_len(persisted)?;
        (&file).write_all(&tail)?;
        let info = self.publish(&self.source(session)?, target)?;
        self.inner.staged.remove(path);
        self.store.remove_sessions(path, false)?;
        Ok(info)
    }

    /// What becomes the content: the session's file, or a copy of it when that was declared.
    fn source(&self, session: &SessionFile) -> Result<PathBuf> {
        if !self.store.settings.capabilities.commit_copies {
            return Ok(session.place.clone());
        }
        let temporary = self.store.root.join("temporary");
        fs::copy(&session.place, &temporary)?;
        Ok(temporary)
    }
}
