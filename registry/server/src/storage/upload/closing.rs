//! [`Closing`]: an upload becomes a blob.
//!
//! The order is: the last bytes, the digest, the content at its path, the link, and the upload goes. Until the digest is
//! known to be right nothing is at the path of a blob.

use futures::TryStreamExt;
use oci::{Digest, Hasher};
use storagedriver_proto::Path;

use super::UploadStore;
use super::body::Incoming;
use super::claim::Claim;
use super::progress::{Progress, Upload};
use super::writer::{UploadWriter, broken};
use crate::driver::{DriverErrorKind, WriteSession};
use crate::storage::StorageError;
use crate::storage::blob::verify;
use crate::storage::layout;

pub(super) struct Closing<'a> {
    pub(super) store: &'a UploadStore,
    pub(super) upload: &'a Upload,
    pub(super) digest: &'a Digest,
    pub(super) claim: &'a Claim,
    /// No other replica can have touched the bytes that were hashed.
    pub(super) alone: bool,
}

/// All the bytes of an upload, not published yet.
enum Received {
    /// The session is open, as the closing request brought bytes.
    Now(Box<WriteSession>),
    /// Everything was persisted by earlier requests.
    Before { size: u64 },
}

impl Closing<'_> {
    pub(super) async fn run(&self, progress: Progress, last: Option<Incoming>) -> Result<(), StorageError> {
        let published = match last {
            Some(last) if progress.offset == 0 && last.is_small() => self.publish_whole(progress, last).await,
            last if self.alone && progress.algorithm == self.digest.algorithm() => self.publish(progress, last).await,
            last => self.publish_after_reading(progress, last).await,
        };
        if let Err(StorageError::DigestMismatch { .. }) = published {
            self.store.discard(self.upload).await;
        }
        published?;
        self.store.blobs.link(&self.upload.repository, self.digest).await?;
        self.store.discard(self.upload).await;
        Ok(())
    }

    /// All of the content is in this one request and small: it goes to its path as it is, without a write session.
    async fn publish_whole(&self, progress: Progress, mut last: Incoming) -> Result<(), StorageError> {
        last.check_start(progress.offset)?;
        let content = tokio::select! {
            content = last.next() => content,
            () = self.claim.superseded() => Err(StorageError::UploadConflict(self.upload.id)),
        };
        let content = match content {
            Ok(content) => content.unwrap_or_default(),
            Err(error) => return self.keep(progress, last).await.and(Err(error)),
        };
        if let Some(limit) = self.store.limit.filter(|limit| content.len() as u64 > *limit) {
            return Err(StorageError::TooLarge { limit });
        }
        verify(self.digest, Digest::of(self.digest.algorithm(), &content))?;
        Ok(self.store.driver.put(&layout::blob(self.digest), content).await?)
    }

    /// Keeps what came of a body that broke off.
    async fn keep(&self, progress: Progress, mut broken_off: Incoming) -> Result<(), StorageError> {
        let Some(rest) = broken_off.rest() else { return Ok(()) };
        let mut writer = UploadWriter::open(&self.store.driver, self.upload, progress, None).await?;
        writer.add(rest, self.store.limit).await?;
        writer.save().await.map(drop)
    }

    async fn publish(&self, progress: Progress, last: Option<Incoming>) -> Result<(), StorageError> {
        let target = layout::blob(self.digest);
        let (actual, received) = self.receive(progress, last, &target).await?;
        verify(self.digest, actual)?;
        self.commit(received, &target).await
    }

    /// The bytes went through another hash function than the client names now, or not through ours alone, so they are read
    /// once more, at a path where nothing can change them and nobody looks.
    async fn publish_after_reading(&self, progress: Progress, last: Option<Incoming>) -> Result<(), StorageError> {
        let unverified = layout::upload_unverified(&self.upload.repository, &self.upload.id);
        let (_, received) = self.receive(progress, last, &unverified).await?;
        self.commit(received, &unverified).await?;
        verify(self.digest, self.read_digest(&unverified).await?)?;
        Ok(self.store.driver.rename(&unverified, &layout::blob(self.digest)).await?)
    }

    async fn read_digest(&self, path: &Path) -> Result<Digest, StorageError> {
        let mut hasher = Hasher::new(self.digest.algorithm());
        let mut content = self.store.driver.read(path, 0, None).await?;
        while let Some(piece) = content.try_next().await? {
            hasher.update(&piece);
        }
        Ok(hasher.finish())
    }

    async fn receive(
        &self,
        progress: Progress,
        last: Option<Incoming>,
        target: &Path,
    ) -> Result<(Digest, Received), StorageError> {
        let driver = &self.store.driver;
        if last.is_none() && progress.is_persisted() {
            let size = progress.offset;
            return Ok((progress.hasher(driver, self.upload).await?.finish(), Received::Before { size }));
        }
        last.as_ref().map_or(Ok(()), |last| last.check_start(progress.offset))?;
        let mut writer = UploadWriter::open(driver, self.upload, progress, Some(target)).await?;
        if let Some(last) = last {
            self.take(&mut writer, last).await?;
        }
        let (digest, session) = writer.finish();
        Ok((digest, Received::Now(Box::new(session))))
    }

    /// Takes the last bytes. When they break off, those that came are kept and the upload can be continued.
    async fn take(&self, writer: &mut UploadWriter, last: Incoming) -> Result<(), StorageError> {
        let taken = writer.take(last, self.claim, self.store.limit).await;
        if taken.is_err() {
            writer.save().await?;
        }
        taken
    }

    async fn commit(&self, received: Received, target: &Path) -> Result<(), StorageError> {
        let committed = match received {
            Received::Now(session) => session.commit(target).await,
            Received::Before { size } => match self.store.driver.commit(&self.upload.data(), target, size).await {
                // A crash left bytes that nobody was told of: opening the session at the size drops them.
                Err(error) if matches!(error.kind(), DriverErrorKind::OffsetInvalid { .. }) => {
                    let session = self.store.driver.open_session(&self.upload.data(), size, Some(target)).await;
                    session.map_err(|error| broken(self.upload, error))?.commit(target).await
                }
                answer => answer,
            },
        };
        committed.map_err(|error| broken(self.upload, error))
    }
}
