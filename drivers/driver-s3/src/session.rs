//! [`Session`]: an open write session, whose bytes the kit gathers into parts. Here is where they go, and whose they are.

use std::ops::ControlFlow;
use std::sync::Arc;

use driver_kit::flat::{Gathered, Parts};
use driver_kit::{Bytes, Error, ErrorKind, Path, Result};
use futures::join;
use tokio::sync::Semaphore;

use crate::opening::{Claimed, Staged};
use crate::parts::{NUMBER_MAX, Part};
use crate::records::{Lease, Name};
use crate::store::Store;
use crate::uploads::Upload;

/// Numbers that are leased at a time: few at first, since those that stay unused are lost to the session.
const LEASE_MIN: u32 = 4;
const LEASE_MAX: u32 = 64;

/// An open write session.
pub type Session = Gathered<OwnParts>;

/// The parts of a session of ours.
pub struct OwnParts {
    store: Arc<Store>,
    path: Path,
    name: Name,
    /// Where an upload begins, when the first part is there.
    key: String,
    upload: Option<Upload>,
    /// Those that arrived, without a gap.
    parts: Vec<Part>,
    /// The number of the next part, and the last one that may be used.
    next: u32,
    until: u32,
}

impl OwnParts {
    pub(crate) fn new(store: Arc<Store>, path: Path, claimed: Claimed, key: String) -> Self {
        let Claimed { name, upload, parts, first } = claimed;
        OwnParts { store, path, name, key, upload, parts, next: first, until: first - 1 }
    }

    pub(crate) fn name(&self) -> Name {
        self.name
    }

    /// As the store has it. Only what was flushed is in it.
    pub(crate) fn staged(&self) -> Staged {
        let (upload, parts) = (self.upload.clone(), self.parts.clone());
        Staged { upload, parts, part: self.store.part, until: self.until, is_over: false }
    }

    /// Uploads what is too little for a part as the last one of a Commit. Its number is used again should that fail.
    pub(crate) async fn send_tail(&mut self, content: Bytes) -> Result<Part> {
        let upload = self.ready_to_send().await?;
        self.store.bucket.upload_part(&upload, self.next, content).await
    }

    /// The upload, begun and with a number for the next part that no other process uses.
    async fn ready_to_send(&mut self) -> Result<Upload> {
        match &self.upload {
            Some(upload) if self.next <= self.until => Ok(upload.clone()),
            Some(upload) => {
                let upload = upload.clone();
                self.lease(&upload).await.map(|()| upload)
            }
            None => {
                let upload = self.store.bucket.begin_upload(&self.key).await?;
                if let Err(error) = self.lease(&upload).await {
                    // Nothing is in it. Where it cannot be taken away now it will be when it is old.
                    let lease = self.store.lease_key(&self.path, self.name);
                    let (_, _) = join!(self.store.bucket.delete(&lease), self.store.bucket.abort(&upload));
                    return Err(error);
                }
                self.upload = Some(upload.clone());
                Ok(upload)
            }
        }
    }

    /// Announces which numbers are used next, and looks afterwards whether the session is still ours. Who opens it looks at
    /// the lease after announcing that, so one of two sees the other. A lease stays when that fails: the parts that arrived
    /// under the one before are found by it.
    async fn lease(&mut self, upload: &Upload) -> Result<()> {
        if self.next > NUMBER_MAX {
            let message = format!("the content needs more than {NUMBER_MAX} parts: raise chunksize");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let wanted = u32::try_from(self.parts.len()).unwrap_or(LEASE_MAX).clamp(LEASE_MIN, LEASE_MAX);
        let until = (self.next + wanted - 1).min(NUMBER_MAX);
        self.store.put_lease(&self.path, self.name, &Lease { upload: upload.clone(), until }).await?;
        if let Err(error) = self.check().await {
            self.withdraw_lease(&error).await?;
            return Err(error);
        }
        self.until = until;
        Ok(())
    }

    /// Takes the lease away that nobody looks at any more: whoever has the session now has looked before.
    async fn withdraw_lease(&self, error: &Error) -> Result<()> {
        match error.kind() {
            ErrorKind::Fenced | ErrorKind::NotFound => {
                self.store.bucket.delete(&self.store.lease_key(&self.path, self.name)).await
            }
            _ => Ok(()),
        }
    }
}

impl Parts for OwnParts {
    type Place = (Upload, u32);
    type Part = Part;

    fn size(&self) -> u64 {
        self.store.part
    }

    fn transfers(&self) -> &Arc<Semaphore> {
        &self.store.transfers
    }

    async fn next(&mut self) -> Result<(Upload, u32)> {
        let place = (self.ready_to_send().await?, self.next);
        self.next += 1;
        Ok(place)
    }

    fn send(&self, (upload, number): (Upload, u32), content: Bytes) -> impl Future<Output = Result<Part>> + 'static {
        let store = Arc::clone(&self.store);
        async move { store.bucket.upload_part(&upload, number, content).await }
    }

    fn arrived(&mut self, part: Part) {
        self.parts.push(part);
    }

    fn persisted(&self) -> u64 {
        self.parts.len() as u64 * self.store.part
    }

    async fn check(&mut self) -> Result<()> {
        self.store.records(&self.path).await?.check(self.name)
    }

    /// Where the upload was completed or aborted, the session is somebody else's now, or nobody's.
    async fn lost(&mut self, error: Error) -> ControlFlow<Error, Error> {
        if error.kind() != ErrorKind::NotFound {
            return ControlFlow::Continue(error);
        }
        ControlFlow::Break(self.check().await.err().unwrap_or(error))
    }
}
