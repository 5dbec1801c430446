//! [`BlobStore`]: content by its digest, and in which repositories it can be seen.
//!
//! Content is stored once for the whole store; a repository has a blob while it has a link to it.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::future::ready;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use oci::{Digest, RepositoryName, UploadId};
use storagedriver_proto::limits::INLINE_MAX;

use super::contents::{CONTENT_MAX, Contents};
use super::error::{Found, StorageError};
use super::layout;
use super::links::Links;
use crate::driver::{DriverClient, DriverError, LocalFile, RedirectMethod};

#[derive(Clone)]
pub(crate) struct BlobStore {
    driver: DriverClient,
    links: Links,
    contents: Contents<Bytes>,
}

/// A blob that a repository has.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    /// Where its bytes are: the digest asked for, or the one that distribution stored them under when it was asked for
    /// another algorithm than sha256.
    content: Digest,
    pub(crate) size: u64,
    pub(crate) held: Held,
}

/// Where the bytes of a blob are had from.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    Memory(Bytes),
    /// Where the driver can hand one over.
    File(LocalFile),
    Store,
}

/// How long a client may take to follow a redirect.
const REDIRECT_EXPIRES_IN: Duration = Duration::from_secs(20 * 60);

impl BlobStore {
    /// Remembers small blobs, at most `memory` bytes of them.
    pub(super) fn new(driver: DriverClient, links: Links, memory: u64) -> Self {
        BlobStore { driver, links, contents: Contents::new(memory) }
    }

    /// Finds a blob in a repository.
    pub(crate) async fn stat(&self, repository: &RepositoryName, digest: &Digest) -> Result<Blob, StorageError> {
        let blob = match self.links.read(&layout::layer_link(repository, digest)).await? {
            Some(content) => self.remembered(content).await?,
            None => None,
        };
        blob.ok_or_else(|| StorageError::BlobUnknown(digest.clone()))
    }

    /// The content that a link names, from memory if it is there.
    async fn remembered(&self, digest: Digest) -> Result<Option<Blob>, StorageError> {
        if let Some(content) = self.contents.get(&digest) {
            return Ok(Some(Blob { content: digest, size: content.len() as u64, held: Held::Memory(content) }));
        }
        let blob = self.content(digest).await?;
        if let Some(Blob { content, held: Held::File(file), .. }) = &blob
            && let Some(bytes) = file.if_at_hand(CONTENT_MAX)
        {
            self.contents.keep(content, &bytes, |bytes| bytes);
        }
        Ok(blob)
    }

    /// Whether a blob can be seen in a repository. Content is stored before it is linked, so the link is enough.
    pub(crate) async fn is_linked(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        Ok(self.links.read(&layout::layer_link(repository, digest)).await?.is_some())
    }

    /// The content with this digest, in whatever repository, as the store has it now.
    async fn content(&self, digest: Digest) -> Result<Option<Blob>, StorageError> {
        let path = layout::blob(&digest);
        let Some(file) = self.driver.local_file(&path).await.found()? else { return Ok(None) };
        if let Some(file) = file {
            return Ok(Some(Blob { content: digest, size: file.size(), held: Held::File(file) }));
        }
        let info = self.driver.stat(&path).await.found()?;
        Ok(info.filter(|info| !info.is_prefix).map(|info| Blob { content: digest, size: info.size, held: Held::Store }))
    }

    /// The bytes of a blob from `offset`, `length` of them. An error within the stream means that the rest is missing.
    pub(crate) async fn open(
        &self,
        blob: &Blob,
        offset: u64,
        length: u64,
    ) -> Result<impl Stream<Item = Result<Bytes, StorageError>> + Send + use<>, StorageError> {
        let bytes = match &blob.held {
            Held::Memory(content) => part_of(content, offset, length),
            Held::File(file) => file.clone().stream(offset, length),
            Held::Store if blob.size <= CONTENT_MAX as u64 => part_of(&self.read_small(blob).await?, offset, length),
            Held::Store => self.driver.read(&layout::blob(&blob.content), offset, Some(length)).await?.boxed(),
        };
        Ok(bytes.map_err(StorageError::from))
    }

    /// All of a small blob in one call, and remembered.
    async fn read_small(&self, blob: &Blob) -> Result<Bytes, StorageError> {
        let content = self.driver.get(&layout::blob(&blob.content), CONTENT_MAX).await?;
        self.contents.keep(&blob.content, &content, |bytes| bytes);
        Ok(content)
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
        self.links.write(layout::layer_link(repository, digest), digest).await
    }

    /// Takes a blob out of a repository. Its content stays: other repositories may have it.
    pub(crate) async fn unlink(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), StorageError> {
        self.stat(repository, digest).await?;
        self.links.delete(layout::layer_link(repository, digest)).await
    }

    /// Makes a blob of the repository `from`, or of any when none is named, a blob of `to`. `false` when it is not there.
    pub(crate) async fn mount(
        &self,
        from: Option<&RepositoryName>,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        let Some(blob) = self.mountable(from, digest).await? else { return Ok(false) };
        self.links.write(layout::layer_link(to, digest), &blob.content).await?;
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

fn part_of(content: &Bytes, offset: u64, length: u64) -> BoxStream<'static, Result<Bytes, DriverError>> {
    let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
    let part = content.slice(place(offset)..place(offset.saturating_add(length)));
    stream::once(ready(Ok(part))).boxed()
}

/// Refuses content whose digest is not the one that was claimed.
pub(super) fn verify(claimed: &Digest, actual: Digest) -> Result<(), StorageError> {
    if *claimed == actual { Ok(()) } else { Err(StorageError::DigestMismatch { claimed: claimed.clone(), actual }) }
}
