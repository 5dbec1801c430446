//! Commit: the parts of a session become the content at its target, in one step, and the session is over.
//!
//! Where the session was opened for that target the parts lie there already, and completing the upload is all. Otherwise the
//! upload is completed at a key of the driver's own and copied from there. Whatever a crash leaves, the records of the
//! session stay until the content is at the target, so that a repeated Commit finds out how far the first one came.

use std::sync::Arc;

use bytes::Bytes;
use driver_kit::{Error, ErrorKind, Info, Path, Result};

use crate::bucket::Object;
use crate::opening::Staged;
use crate::parts::Part;
use crate::records::{Name, Records};
use crate::session::Session;
use crate::store::{SESSIONS, Store};
use crate::uploads::{Completion, Upload};

/// What is to be published, and where.
struct Publication<'a> {
    store: &'a Arc<Store>,
    path: &'a Path,
    key: String,
    size: u64,
    if_absent: bool,
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
            Err(gone) if gone.kind() == ErrorKind::NotFound => publication.committed().await,
            published => {
                published?;
                self.info_of_new(target, size, None).await
            }
        }
    }
}

impl Publication<'_> {
    async fn publish_session(&self, session: Option<&mut Session>) -> Result<()> {
        let records = self.store.records(self.path).await?;
        let name = records.newest().ok_or_else(Error::no_session)?;
        // Another process may have taken over the session that is open in this one: what it has counts.
        let session = session.filter(|session| session.parts().name() == name);
        let (staged, tail) = match &session {
            Some(session) => (session.parts().staged(), session.tail()),
            None => (self.store.staged(self.path, &records, name).await?, Bytes::new()),
        };
        let upload = staged.upload.clone();
        let is_completed = self.publish(staged, tail, session).await?;
        if let Some(unused) = upload.filter(|_| !is_completed) {
            self.store.bucket.abort(&unused).await?;
        }
        self.end(records, name).await
    }

    /// Whether the upload is completed, and not left over: of a content of less than a part, or that was there already.
    async fn publish(&self, staged: Staged, tail: Bytes, session: Option<&mut Session>) -> Result<bool> {
        if staged.is_over {
            return self.go_on(staged.upload.as_ref()).await.map(|()| true);
        }
        let persisted = staged.parts.len() as u64 * staged.part;
        if persisted + tail.len() as u64 != self.size {
            return Err(Error::offset_invalid(persisted));
        }
        let Some(upload) = staged.upload.filter(|_| !staged.parts.is_empty()) else {
            self.check_absent().await?;
            return self.store.bucket.put(&self.key, tail, self.if_absent).await.map(|_| false);
        };
        if self.is_there_already(&upload).await? {
            return Ok(false);
        }
        let mut parts = staged.parts;
        if let Some(session) = session.filter(|_| !tail.is_empty()) {
            match session.parts_mut().send_tail(tail).await {
                Err(gone) if gone.kind() == ErrorKind::NotFound => {
                    return self.go_on(Some(&upload)).await.map(|()| true);
                }
                sent => parts.push(sent?),
            }
        }
        self.complete(&upload, &parts).await.map(|()| true)
    }

    async fn check_absent(&self) -> Result<()> {
        if self.if_absent && self.target().await?.is_some() { Err(Error::already_exists()) } else { Ok(()) }
    }

    /// Spares a copy of what is at the target already, as the contract allows.
    async fn is_there_already(&self, upload: &Upload) -> Result<bool> {
        if self.if_absent || upload.key == self.key {
            return self.check_absent().await.map(|()| false);
        }
        Ok(self.target().await?.is_some_and(|object| object.size == self.size))
    }

    async fn complete(&self, upload: &Upload, parts: &[Part]) -> Result<()> {
        let is_final = upload.key == self.key;
        if !is_final && !self.is_own(upload) {
            self.check_hint(upload).await?;
        }
        match self.store.bucket.complete(upload, parts, self.if_absent && is_final).await? {
            Completion::Done if is_final => Ok(()),
            Completion::Done => self.carry(upload).await,
            Completion::NoUpload => self.go_on(Some(upload)).await,
        }
    }

    /// The upload lies at a path that is not its target after all. It passes through there, over nobody's content.
    async fn check_hint(&self, upload: &Upload) -> Result<()> {
        if self.store.bucket.head(&upload.key).await?.is_none() {
            return Ok(());
        }
        let message = "the session was opened for another path, where there is content: write it again for this one";
        Err(Error::new(ErrorKind::PathConflict, message))
    }

    /// Goes on where somebody else, or an earlier attempt, has completed the upload.
    async fn go_on(&self, upload: Option<&Upload>) -> Result<()> {
        match upload {
            Some(upload) if self.is_own(upload) => self.carry(upload).await,
            _ => self.committed().await.map(drop),
        }
    }

    /// Moves the completed upload to the target.
    async fn carry(&self, upload: &Upload) -> Result<()> {
        match self.store.bucket.head(&upload.key).await? {
            Some(object) if object.size == self.size => {
                self.store.copy(&upload.key, &object, &self.key, self.if_absent).await?;
                self.store.bucket.delete(&upload.key).await
            }
            _ => self.committed().await.map(drop),
        }
    }

    /// Whether the upload lies where no path is.
    fn is_own(&self, upload: &Upload) -> bool {
        upload.key.starts_with(&self.store.keys.own(SESSIONS, self.path))
    }

    /// The answer when there is no session: it was committed, or never can be.
    async fn committed(&self) -> Result<Info> {
        match self.target().await? {
            Some(object) if object.size == self.size => Ok(object.info()),
            _ => Err(Error::no_session()),
        }
    }

    async fn target(&self) -> Result<Option<Object>> {
        self.store.bucket.head(&self.key).await
    }

    /// Takes away what is left of the session: uploads that were not used, and then all that is known of it.
    async fn end(&self, records: Records, name: Name) -> Result<()> {
        let (claim, lease) = (self.store.claim_key(self.path, name), self.store.lease_key(self.path, name));
        let mut keys = records.into_keys();
        keys.extend([claim, lease]);
        keys.sort_unstable();
        keys.dedup();
        self.store.bucket.delete_all(&keys).await
    }
}
