//! [`UploadWriter`]: adds bytes to an upload, so that any replica can go on from every offset a client was told.
//!
//! The order at each such offset is: the bytes, then the tail that the driver cannot persist yet, then the hash state.
//! An offset counts once its hash state is there, so a crash between the steps loses only what nobody was told of.

use bytes::Bytes;
use futures::TryStreamExt;
use oci::{Digest, Hasher};
use storagedriver_proto::Path;

use super::body::Incoming;
use super::claim::Claim;
use super::progress::{Progress, Upload};
use super::tail::Tail;
use crate::driver::{DriverClient, DriverError, DriverErrorKind, WriteSession};
use crate::storage::StorageError;
use crate::storage::layout::{self, UploadFact};

/// At most this much has to be sent again after a crash, or a little more with a large granularity.
const SAVE_EVERY: u64 = 32 << 20;

pub(super) struct UploadWriter {
    driver: DriverClient,
    upload: Upload,
    session: WriteSession,
    hasher: Hasher,
    tail: Tail,
    save_every: u64,
    /// The offset of the newest hash state.
    saved_offset: u64,
    /// What was written down about it and about earlier ones.
    saved: Vec<UploadFact>,
}

impl UploadWriter {
    /// Continues an upload. `target` is where its content will go, when that is known.
    pub(super) async fn open(
        driver: &DriverClient,
        upload: &Upload,
        progress: Progress,
        target: Option<&Path>,
    ) -> Result<Self, StorageError> {
        let hasher = progress.hasher(driver, upload).await?;
        let granularity = driver.capabilities().granularity;
        let offset = progress.offset - progress.offset % granularity;
        let session =
            driver.open_session(&upload.data(), offset, target).await.map_err(|error| broken(upload, error))?;
        let mut writer = UploadWriter {
            driver: driver.clone(),
            upload: upload.clone(),
            session,
            hasher,
            tail: Tail::new(granularity, offset),
            save_every: SAVE_EVERY.next_multiple_of(granularity),
            saved_offset: progress.offset,
            saved: progress.saved,
        };
        if progress.has_tail {
            writer.restore_tail(progress.offset).await?;
        }
        Ok(writer)
    }

    /// Sends again what the driver could not persist. The hash has these bytes already.
    async fn restore_tail(&mut self, offset: u64) -> Result<(), StorageError> {
        let mut content = self.driver.read(&self.upload.path(UploadFact::Tail(offset)), 0, None).await?;
        while let Some(piece) = content.try_next().await? {
            self.send(piece).await?;
        }
        if self.session.written() == offset { Ok(()) } else { Err(StorageError::UploadBroken(self.upload.id)) }
    }

    /// Adds a request's bytes, until they end or `claim` is wanted by a later request. After an error the bytes so far
    /// count as received.
    pub(super) async fn take(
        &mut self,
        mut incoming: Incoming,
        claim: &Claim,
        limit: Option<u64>,
    ) -> Result<(), StorageError> {
        let outcome = loop {
            let next = tokio::select! {
                next = incoming.next() => next,
                () = claim.superseded() => Err(StorageError::UploadConflict(self.upload.id)),
            };
            match next {
                Ok(Some(piece)) => self.add(piece, limit).await?,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Some(rest) = incoming.rest() {
            self.add(rest, limit).await?;
        }
        outcome
    }

    pub(super) async fn add(&mut self, mut piece: Bytes, limit: Option<u64>) -> Result<(), StorageError> {
        if let Some(limit) = limit.filter(|limit| self.offset() + piece.len() as u64 > *limit) {
            return Err(StorageError::TooLarge { limit });
        }
        while !piece.is_empty() {
            let until_save = self.save_every - self.offset() % self.save_every;
            let part = piece.split_to(piece.len().min(usize::try_from(until_save).unwrap_or(usize::MAX)));
            self.hasher.update(&part);
            self.send(part).await?;
            if self.offset().is_multiple_of(self.save_every) {
                self.save().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, piece: Bytes) -> Result<(), StorageError> {
        self.tail.push(piece.clone());
        self.session.write(piece).await.map_err(|error| broken(&self.upload, error))
    }

    /// How many bytes the upload has.
    pub(super) fn offset(&self) -> u64 {
        self.hasher.length()
    }

    /// Makes the bytes so far count, also for other replicas and after a restart, and tells how many they are.
    pub(super) async fn save(&mut self) -> Result<u64, StorageError> {
        let offset = self.offset();
        if offset == self.saved_offset {
            return Ok(offset);
        }
        let persisted = self.session.flush().await.map_err(|error| broken(&self.upload, error))?;
        let mut older = std::mem::take(&mut self.saved);
        if persisted < offset {
            self.save_tail(persisted, offset).await?;
        }
        self.save_state().await?;
        self.saved.push(self.state());
        self.saved_offset = offset;
        // A save that failed halfway has left a tail of the very name that this one wrote anew.
        older.retain(|fact| !self.saved.contains(fact));
        self.forget(older).await;
        Ok(offset)
    }

    /// Says that the bytes so far count.
    pub(super) async fn save_state(&self) -> Result<(), StorageError> {
        Ok(self.driver.put(&self.upload.path(self.state()), self.hasher.to_go_state().into()).await?)
    }

    /// Where the hash of the bytes so far is written down.
    pub(super) fn state(&self) -> UploadFact {
        UploadFact::HashState(self.hasher.algorithm(), self.offset())
    }

    /// Fails when another writer has opened the session since.
    pub(super) async fn check_newest(&mut self) -> Result<(), StorageError> {
        self.session.flush().await.map(drop).map_err(|error| broken(&self.upload, error))
    }

    /// Whether the session has fewer bytes than were saved here: it tells when it is asked to go on beyond all.
    pub(super) async fn is_dropped(&self) -> Result<bool, StorageError> {
        let granularity = self.driver.capabilities().granularity;
        let beyond = (u64::MAX >> 1) / granularity * granularity;
        let whole = self.saved_offset - self.saved_offset % granularity;
        match self.driver.open_session(&self.upload.data(), beyond, None).await.map_err(|error| error.kind()) {
            Err(DriverErrorKind::OffsetInvalid { persisted }) => Ok(persisted < whole),
            Err(DriverErrorKind::NotFound) => Ok(true),
            // Not known: what is there stays.
            _ => Ok(false),
        }
    }

    /// Through a write session of its own, since a tail can be larger than one message takes.
    async fn save_tail(&mut self, persisted: u64, offset: u64) -> Result<(), StorageError> {
        let pieces = self.tail.since(persisted).ok_or(StorageError::UploadBroken(self.upload.id))?;
        let staging = layout::upload_tail_staging(&self.upload.repository, &self.upload.id);
        let target = self.upload.path(UploadFact::Tail(offset));
        // Its name tells its length only: a driver may keep what a failed save left there, whose bytes can be others.
        self.driver.delete(&target).await?;
        let mut session = self.driver.open_session(&staging, 0, Some(&target)).await?;
        for piece in pieces {
            session.write(piece).await?;
        }
        session.commit(&target).await?;
        self.saved.push(UploadFact::Tail(offset));
        Ok(())
    }

    /// Deletes what only says how far the upload was before. What stays goes with the upload, so a failure is no loss.
    async fn forget(&self, older: Vec<UploadFact>) {
        for fact in older {
            if let Err(error) = self.driver.delete(&self.upload.path(fact)).await {
                tracing::debug!(upload = %self.upload.id, error = &error as &dyn std::error::Error, "an older hash state stays");
            }
        }
    }

    /// The digest of all bytes, and what is left to do with them.
    pub(super) fn finish(self) -> (Digest, WriteSession) {
        (self.hasher.finish(), self.session)
    }
}

/// What a driver's answer about a write session means for the upload.
pub(super) fn broken(upload: &Upload, error: DriverError) -> StorageError {
    match error.kind() {
        DriverErrorKind::Fenced => StorageError::UploadConflict(upload.id),
        DriverErrorKind::NotFound => StorageError::UploadUnknown(upload.id),
        DriverErrorKind::OffsetInvalid { .. } => StorageError::UploadBroken(upload.id),
        _ => error.into(),
    }
}
