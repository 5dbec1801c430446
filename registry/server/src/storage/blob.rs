//! [`BlobStore`]: content by its digest, and in which repositories it can be seen.
//!
//! Content is stored once for the whole store; a repository has a blob while it has a link to it.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use oci::{Digest, RepositoryName, UploadId};
use storagedriver_proto::limits::INLINE_MAX;

use super::error::{Found, StorageError};
use super::{layout, link};
use crate::driver::{DriverClient, LocalFile, RedirectMethod};

#[derive(Clone)]
pub(crate) struct BlobStore {
    driver: DriverClient,
}

/// A blob that a repository has.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    /// Where its bytes are: the digest asked for, or the one that distribution stored them under when it was asked for
    /// another algorithm than sha256.
    content: Digest,
    pub(crate) size: u64,
    /// Its bytes, where the driver can hand over a file of them.
    pub(crate) file: Option<LocalFile>,
}

/// How long a client may take to follow a redirect.
const REDIRECT_EXPIRES_IN: Duration = Duration::from_secs(20 * 60);

impl BlobStore {
    pub(super) fn new(driver: DriverClient) -> Self {
        BlobStore { driver }
    }

    /// Finds a blob in a repository.
    pub(crate) async fn stat(&self, repository: &RepositoryName, digest: &Digest) -> Result<Blob, StorageError> {
        let blob = match link::read(&self.driver, &layout::layer_link(repository, digest)).await? {
            Some(content) => self.content(content).await?,
            None => None,
        };
        blob.ok_or_else(|| StorageError::BlobUnknown(digest.clone()))
    }

    /// Whether a blob can be seen in a repository. Content is stored before it is linked, so the link is enough.
    pub(crate) async fn is_linked(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        Ok(link::read(&self.driver, &layout::layer_link(repository, digest)).await?.is_some())
    }

    /// The content with this digest, in whatever repository.
    async fn content(&self, digest: Digest) -> Result<Option<Blob>, StorageError> {
        let path = layout::blob(&digest);
        let Some(file) = self.driver.local_file(&path).await.found()? else { return Ok(None) };
        if let Some(file) = file {
            return Ok(Some(Blob { content: digest, size: file.size(), file: Some(file) }));
        }
        let info = self.driver.stat(&path).await.found()?;
        Ok(info.filter(|info| !info.is_prefix).map(|info| Blob { content: digest, size: info.size, file: None }))
    }

    /// The bytes of a blob from `offset`, `length` of them. An error within the stream means that the rest is missing.
    pub(crate) async fn open(
        &self,
        blob: &Blob,
        offset: u64,
        length: u64,
    ) -> Result<impl Stream<Item = Result<Bytes, StorageError>> + Send + use<>, StorageError> {
        let bytes = match blob.file.clone() {
            Some(file) => file.stream(offset, length),
            None => self.driver.read(&layout::blob(&blob.content), offset, Some(length)).await?.boxed(),
        };
        Ok(bytes.map_err(StorageError::from))
    }

    /// A URL at which `client` can fetch the blob itself; `None` when the registry has to serve it.
    pub(crate) async fn redirect(
        &self,
        blob: &Blob,
        method: RedirectMethod,
        client: Option<IpAddr>,
    ) -> Result<Option<String>, StorageError> {
        if !self.driver.capabilities().redirect {
            return Ok(None);
        }
        let path = layout::blob(&blob.content);
        Ok(self.driver.redirect_url(&path, method, REDIRECT_EXPIRES_IN, client).await?)
    }

    /// Small content by its digest, whichever repository has it; `None` when it is not stored.
    pub(crate) async fn get(&self, digest: &Digest, max: usize) -> Result<Option<Bytes>, StorageError> {
        self.driver.get(&layout::blob(digest), max).await.found()
    }

    /// Stores small content under its digest, also when it is there already: what can be seen may not be durable yet.
    /// It is in no repository yet: the caller links it.
    pub(crate) async fn put(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        content: Bytes,
    ) -> Result<(), StorageError> {
        verify(digest, Digest::of(digest.algorithm(), &content))?;
        // Like an upload that never ends: what a crash leaves here goes when old uploads are purged.
        let id = UploadId::new();
        let staged = content.len() > INLINE_MAX;
        let stored = self.driver.put_large(&layout::upload_data(repository, &id), &layout::blob(digest), content).await;
        if staged {
            // Also what a full store took of it.
            let cleared = self.driver.delete_tree(&layout::upload(repository, &id)).await;
            return Ok(stored.and(cleared)?);
        }
        Ok(stored?)
    }

    /// Makes stored content a blob of `repository`.
    pub(crate) async fn link(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), StorageError> {
        link::write(&self.driver, &layout::layer_link(repository, digest), digest).await
    }

    /// Takes a blob out of a repository. Its content stays: other repositories may have it.
    pub(crate) async fn unlink(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), StorageError> {
        self.stat(repository, digest).await?;
        Ok(self.driver.delete(&layout::layer_link(repository, digest)).await?)
    }

    /// Makes a blob of the repository `from`, or of any when none is named, a blob of `to`. `false` when it is not there.
    pub(crate) async fn mount(
        &self,
        from: Option<&RepositoryName>,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        let Some(blob) = self.mountable(from, digest).await? else { return Ok(false) };
        link::write(&self.driver, &layout::layer_link(to, digest), &blob.content).await?;
        Ok(true)
    }

    /// The blob that a client may mount. Every client may read every repository; where that ends, this is the place to ask
    /// which ones, since an answer tells that the content is stored somewhere.
    async fn mountable(&self, from: Option<&RepositoryName>, digest: &Digest) -> Result<Option<Blob>, StorageError> {
        match from {
            None => self.content(digest.clone()).await,
            Some(from) => match self.stat(from, digest).await {
                Err(StorageError::BlobUnknown(_)) => Ok(None),
                answer => answer.map(Some),
            },
        }
    }
}

/// Refuses content whose digest is not the one that was claimed.
pub(super) fn verify(claimed: &Digest, actual: Digest) -> Result<(), StorageError> {
    if *claimed == actual { Ok(()) } else { Err(StorageError::DigestMismatch { claimed: claimed.clone(), actual }) }
}
