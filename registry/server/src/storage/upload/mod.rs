//! [`UploadStore`]: blobs on their way into the store.
//!
//! All that is known of an upload is in the store, so every replica can continue it, also after a restart. Content gets
//! to the path of a blob only after its digest was verified; then the blob is linked, then the upload goes. A crash between
//! these steps leaves content that nobody refers to, or an upload that is purged one day.

mod body;
mod claim;
mod closing;
mod progress;
mod purging;
mod tail;
mod turn;
mod writer;

use jiff::Timestamp;
use oci::{Algorithm, Digest, Hasher, RepositoryName, UploadId};

pub(crate) use body::{BodyError, Incoming};
pub(crate) use progress::Upload;

use claim::{Claim, Claims};
use closing::Closing;
use progress::Progress;
use turn::Turn;
use writer::UploadWriter;

use super::StorageError;
use super::blob::BlobStore;
use super::layout::{TurnKind, UploadFact};
use crate::driver::DriverClient;

#[derive(Clone)]
pub(crate) struct UploadStore {
    driver: DriverClient,
    blobs: BlobStore,
    claims: Claims,
    /// Most bytes of one blob.
    limit: Option<u64>,
}

impl UploadStore {
    pub(super) fn new(driver: DriverClient, blobs: BlobStore, limit: Option<u64>) -> Self {
        UploadStore { driver, blobs, claims: Claims::default(), limit }
    }

    /// The least that a client should send at once, when there is such a size.
    pub(crate) fn chunk_min(&self) -> Option<u64> {
        Some(self.driver.capabilities().granularity).filter(|granularity| *granularity > 1)
    }

    /// Begins an upload of content whose digest will be of `algorithm`.
    ///
    /// Another algorithm than sha256 is remembered by the hash state of no bytes. One algorithm is hashed, not several: a
    /// client that closes with another than it announced pays with one more reading of its content.
    pub(crate) async fn create(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<Upload, StorageError> {
        let upload = Upload { repository: repository.clone(), id: UploadId::new() };
        if algorithm != Algorithm::Sha256 {
            let state = upload.path(UploadFact::HashState(algorithm, 0));
            self.driver.put(&state, Hasher::new(algorithm).to_go_state().into()).await?;
        }
        let started_at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        self.driver.put(&upload.path(UploadFact::Started), started_at.into()).await?;
        Ok(upload)
    }

    /// How many bytes of an upload have been acknowledged. It writes nothing.
    pub(crate) async fn status(&self, upload: &Upload) -> Result<u64, StorageError> {
        Ok(Progress::read(&self.driver, upload).await?.offset)
    }

    /// Adds bytes at the end of an upload and tells how many it has then. What arrived before a failure is kept.
    pub(crate) async fn append(&self, upload: &Upload, incoming: Incoming) -> Result<u64, StorageError> {
        let claim = self.claims.take(upload.id).await?;
        let (turn, progress) = Turn::begin(&self.driver, upload, TurnKind::Appending).await?;
        let appended = self.append_after(&turn, progress, incoming, &claim).await;
        if let Err(StorageError::NoSpace(_)) = appended {
            self.free_unsaved(upload, &turn).await;
        }
        if is_in_order(&appended) {
            turn.end().await;
        }
        appended
    }

    async fn append_after(
        &self,
        turn: &Turn,
        progress: Progress,
        incoming: Incoming,
        claim: &Claim,
    ) -> Result<u64, StorageError> {
        incoming.check_start(progress.offset)?;
        let before = progress.offset;
        let mut writer = UploadWriter::open(&self.driver, turn.upload(), progress, None).await?;
        let taken = writer.take(incoming, claim, self.limit).await;
        let saved = writer.save().await?;
        if saved > before {
            turn.settle(&mut writer).await?;
        }
        taken.map(|()| saved)
    }

    /// A store that is full keeps no bytes that nobody was told of: opening the session where it was saved drops them.
    ///
    /// It would drop another writer's as well, so on a shared store nobody else may have a turn.
    async fn free_unsaved(&self, upload: &Upload, turn: &Turn) {
        let freed = async {
            let Some(progress) = turn.progress_alone().await? else { return Ok(()) };
            let offset = progress.offset - progress.offset % self.driver.capabilities().granularity;
            self.driver.open_session(&upload.data(), offset, None).await.map(drop).map_err(StorageError::from)
        };
        if let Err(error) = freed.await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(repository = %upload.repository, upload = %upload.id, error, "unsaved bytes stay in a full store");
        }
    }

    /// Ends an upload, with its last bytes if there are any, and makes it a blob of its repository.
    ///
    /// Content with another digest than `digest` is thrown away with the upload: no part of it is known to be right.
    pub(crate) async fn complete(
        &self,
        upload: &Upload,
        digest: &Digest,
        last: Option<Incoming>,
    ) -> Result<(), StorageError> {
        let claim = self.claims.take(upload.id).await?;
        let (turn, progress) = Turn::begin(&self.driver, upload, TurnKind::Closing).await?;
        let closing = Closing { store: self, upload, digest, claim: &claim, alone: turn.is_alone() };
        let closed = closing.run(progress.towards(digest.algorithm()), last).await;
        if let Err(StorageError::NoSpace(_)) = closed {
            self.free_unsaved(upload, &turn).await;
        }
        match &closed {
            // With the upload its marks are gone.
            Ok(()) | Err(StorageError::DigestMismatch { .. }) => {}
            Err(_) if is_in_order(&closed) => turn.end().await,
            Err(_) => turn.give_up(claim),
        }
        closed
    }

    /// Stores a blob that comes as a whole with its digest. Nobody knows the upload behind it, so a failure leaves nothing.
    pub(crate) async fn push(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        content: Incoming,
    ) -> Result<(), StorageError> {
        let upload = Upload { repository: repository.clone(), id: UploadId::new() };
        let claim = self.claims.take(upload.id).await?;
        let closing = Closing { store: self, upload: &upload, digest, claim: &claim, alone: true };
        let outcome = closing.run(Progress::none(digest.algorithm()), Some(content)).await;
        if outcome.is_err() {
            self.discard(&upload).await;
        }
        outcome
    }

    /// Ends an upload and drops its bytes.
    pub(crate) async fn cancel(&self, upload: &Upload) -> Result<(), StorageError> {
        let _claim = self.claims.take(upload.id).await?;
        Progress::read(&self.driver, upload).await?;
        Ok(self.driver.delete_tree(&upload.folder()).await?)
    }

    /// Deletes what is left of an upload. When that fails, it is purged one day.
    async fn discard(&self, upload: &Upload) {
        if let Err(error) = self.driver.delete_tree(&upload.folder()).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(repository = %upload.repository, upload = %upload.id, error, "the rest of an upload stays");
        }
    }
}

/// Whether a request has left nothing half done in the store: it succeeded, or failed for what its client did, after what
/// had come was saved.
fn is_in_order<T>(outcome: &Result<T, StorageError>) -> bool {
    use StorageError::{BodyIncomplete, RangeInvalid, SizeInvalid, TooLarge, UploadConflict};
    let Err(error) = outcome else { return true };
    matches!(
        error,
        RangeInvalid { .. } | SizeInvalid { .. } | BodyIncomplete { .. } | TooLarge { .. } | UploadConflict(_)
    )
}
