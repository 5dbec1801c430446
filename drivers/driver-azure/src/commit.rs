//! Commit: the blocks of a session become the content at its target, in one step, and the session is over.
//!
//! Where the session was opened for that target the blocks lie there already, and committing their list is all. Otherwise
//! they become an object at a key of the driver's own, which is copied from there. Whatever a crash leaves, the record of the
//! session stays until the content is at the target, so that a repeated Commit finds out how far the first one came.

use std::sync::Arc;

use bytes::Bytes;
use driver_kit::{Error, ErrorKind, Info, Path, Result};

use crate::blocks::{Id, Runs, tail_id};
use crate::container::{Condition, Object};
use crate::copy::Uncopied;
use crate::error::{Failure, changing, is_condition, is_lost_block, is_other_type};
use crate::records::Kept;
use crate::session::Session;
use crate::store::Store;

/// What is to be published, and where.
struct Publication<'a> {
    store: &'a Arc<Store>,
    path: &'a Path,
    /// Of the target.
    key: String,
    size: u64,
    if_absent: bool,
}

/// The bytes of a session.
struct Staged {
    runs: Runs,
    /// What is too little for a block.
    tail: Bytes,
    is_committed: bool,
}

impl Store {
    pub(crate) async fn commit(
        self: &Arc<Self>,
        path: &Path,
        session: Option<&mut Session>,
        target: &Path,
        size: u64,
        if_absent: bool,
    ) -> Result<Info> {
        let publication = Publication { store: self, path, key: self.keys.content(target), size, if_absent };
        match publication.publish_session(session).await {
            // Nothing is left of the session, or vanished meanwhile: another Commit came first, or none ever can come.
            Err(gone) if gone.kind() == ErrorKind::NotFound => {
                publication.committed().await?.map(|object| object.info()).ok_or(gone)
            }
            published => published.map(|object| object.info()),
        }
    }
}

impl Publication<'_> {
    async fn publish_session(&self, session: Option<&mut Session>) -> Result<Object> {
        let kept = self.store.record(self.path).await?.ok_or_else(Error::no_session)?;
        // Another process may have taken over the session that is open in this one: what it has counts.
        let session = session.filter(|session| session.parts().owner() == kept.record.owner);
        let staged = match session {
            Some(session) => Staged { runs: session.parts().runs(), tail: session.tail(), is_committed: false },
            None => {
                let held = self.store.held(&kept.record).await?;
                Staged { runs: held.runs, tail: Bytes::new(), is_committed: held.is_committed }
            }
        };
        let object = self.publish(&kept, staged).await?;
        self.end(&kept).await?;
        Ok(object)
    }

    async fn publish(&self, kept: &Kept, staged: Staged) -> Result<Object> {
        let persisted = staged.runs.len() * kept.record.part;
        if persisted + staged.tail.len() as u64 != self.size {
            return self.without_bytes(persisted).await;
        }
        match &kept.record.key {
            Some(key) if persisted > 0 && *key == self.key => self.publish_here(kept, staged).await,
            Some(key) if persisted > 0 => self.publish_from(kept, key, staged).await,
            _ => self.put(staged.tail).await,
        }
    }

    /// The session has other bytes than are to be published: an earlier Commit may have come to its end but for the record.
    async fn without_bytes(&self, persisted: u64) -> Result<Object> {
        match self.target().await? {
            Some(_) if self.if_absent => Err(Error::already_exists()),
            Some(object) if object.size == self.size && persisted < self.size => Ok(object),
            _ => Err(Error::offset_invalid(persisted)),
        }
    }

    /// A content of less than a block.
    async fn put(&self, content: Bytes) -> Result<Object> {
        let put = self.store.container.put_over(&self.key, content, Condition::from(self.if_absent)).await;
        put.map_err(|failure| self.refused(failure))
    }

    /// The blocks lie beside the target.
    async fn publish_here(&self, kept: &Kept, staged: Staged) -> Result<Object> {
        let ids = self.ids(kept, &self.key, staged).await?;
        let condition = Condition::from(self.if_absent);
        match self.store.container.commit(&self.key, ids.clone(), self.size, condition).await {
            // It may be our own first attempt, of which the answer was lost.
            Err(failure) if self.if_absent && is_condition(&failure) => {
                let is_ours = self.store.container.blocks(&self.key).await?.committed == ids;
                let object = if is_ours { self.committed().await? } else { None };
                object.ok_or_else(Error::already_exists)
            }
            Err(failure) if is_lost_block(&failure) => self.without_blocks(kept).await,
            committed => committed.map_err(changing),
        }
    }

    /// The blocks lie elsewhere: they become an object there, and that is copied.
    async fn publish_from(&self, kept: &Kept, key: &str, staged: Staged) -> Result<Object> {
        match self.target().await? {
            Some(_) if self.if_absent => return Err(Error::already_exists()),
            // Spares a copy of what is there already, as the contract allows.
            Some(object) if object.size == self.size => return Ok(object),
            _ => {}
        }
        match self.assemble(kept, key, staged).await {
            Ok(object) => self.carry(key, &object).await,
            Err(failure) if is_lost_block(&failure) => self.without_blocks(kept).await,
            Err(failure) if is_condition(&failure) => {
                let message =
                    "the session was opened for another path, where there is content: write it again for this one";
                Err(Error::new(ErrorKind::PathConflict, message).with_source(failure))
            }
            Err(failure) => Err(changing(failure)),
        }
    }

    async fn assemble(&self, kept: &Kept, key: &str, staged: Staged) -> Result<Object, Failure> {
        let there = if staged.is_committed { self.store.container.head(key).await.ok().flatten() } else { None };
        if let Some(object) = there.filter(|object| object.size == self.size) {
            return Ok(object);
        }
        // At a path that is not the target after all, the content passes through over nobody's.
        let condition = Condition::from(!self.store.is_own(key));
        let ids = self.try_ids(kept, key, staged).await?;
        self.store.container.commit(key, ids, self.size, condition).await
    }

    async fn carry(&self, key: &str, object: &Object) -> Result<Object> {
        let condition = Condition::from(self.if_absent);
        let copied = self.store.copy(key, object, &self.key, condition).await.map_err(Uncopied::into_error)?;
        let condition = Condition::Version(&object.etag);
        self.store.container.delete_if(key, condition, None).await.map_err(changing)?;
        Ok(copied)
    }

    async fn ids(&self, kept: &Kept, key: &str, staged: Staged) -> Result<Vec<Id>> {
        self.try_ids(kept, key, staged).await.map_err(changing)
    }

    /// The names of all blocks; what is too little for one becomes the last.
    async fn try_ids(&self, kept: &Kept, key: &str, staged: Staged) -> Result<Vec<Id>, Failure> {
        let mut ids: Vec<Id> = staged.runs.ids().collect();
        if !staged.tail.is_empty() {
            let id = tail_id(kept.record.owner);
            self.store.container.stage(key, &id, staged.tail).await?;
            ids.push(id);
        }
        Ok(ids)
    }

    /// Something was put beside the blocks, and Azure has thrown them away. With the same bytes at the target nothing is lost.
    async fn without_blocks(&self, kept: &Kept) -> Result<Object> {
        if let Some(object) = self.committed().await?.filter(|_| !self.if_absent) {
            return Ok(object);
        }
        let held = self.store.held(&kept.record).await?;
        Err(Error::offset_invalid(held.runs.len() * kept.record.part))
    }

    fn refused(&self, failure: Failure) -> Error {
        if self.if_absent && (is_condition(&failure) || is_other_type(&failure)) {
            return Error::already_exists();
        }
        changing(failure)
    }

    /// The content, where the target has as much as is to be published.
    async fn committed(&self) -> Result<Option<Object>> {
        Ok(self.target().await?.filter(|object| object.size == self.size))
    }

    async fn target(&self) -> Result<Option<Object>> {
        self.store.container.head(&self.key).await
    }

    /// Takes away what is left of the session, unless somebody has opened it anew.
    async fn end(&self, kept: &Kept) -> Result<()> {
        let is_over = self.store.delete_record(self.path, &kept.etag).await?;
        match &kept.record.key {
            Some(key) if is_over => self.store.give_up_blocks(key).await,
            _ => Ok(()),
        }
    }
}
