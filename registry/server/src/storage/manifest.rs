//! [`ManifestStore`]: manifests as clients know them, over blobs, revisions, tags and the referrers index.
//!
//! The order of the steps is what keeps a store sound without a transaction, and without a lock that registries share.
//! Putting goes: content, revision, referrer, tags; deleting goes the other way. A crash between two steps leaves content
//! or links that nothing leads to, never a tag that leads nowhere.
//!
//! It must not know HTTP.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::future::ready;
use futures::{StreamExt, TryStreamExt, stream};
use oci::{Algorithm, Descriptor, Digest, Manifest, Reference, RepositoryName, Tag, media_type};

use storagedriver_proto::limits::INLINE_MAX;

use crate::driver::{DriverClient, DriverErrorKind};

use super::blob::{BlobStore, verify};
use super::cache::Weigh;
use super::contents::Contents;
use super::error::StorageError;
use super::large::{Large, Place, USUAL_MAX};
use super::links::Links;
use super::manifest_locks::ManifestLocks;
use super::referrer::ReferrerStore;
use super::revision::RevisionStore;
use super::tag::TagStore;

/// How many questions or writes one request has under way at the driver.
const CONCURRENCY: usize = 16;

/// What may be pushed as a manifest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ManifestRules {
    /// The most bytes of one.
    pub(crate) bytes_max: usize,
    /// Indexes may name manifests that are not there: whoever mirrors one platform of an image keeps its index, which
    /// is signed as it is.
    pub(crate) allow_sparse_indexes: bool,
    /// Manifests may name configs and layers that are not there. Then a push that lost a layer is first noticed by
    /// those who pull.
    pub(crate) allow_missing_blobs: bool,
}

impl Default for ManifestRules {
    fn default() -> Self {
        ManifestRules { bytes_max: USUAL_BYTES_MAX, allow_sparse_indexes: true, allow_missing_blobs: false }
    }
}

/// What distribution allows, and what it may have stored therefore.
const USUAL_BYTES_MAX: usize = 4 << 20;

/// A manifest can name thousands of blobs, and a repository can lack them all.
const MISSING_TOLD_MAX: usize = 100;

/// As what a manifest wants to find something that it names.
#[derive(Debug, Clone, Copy)]
enum Need {
    Blob,
    Manifest,
}

/// A manifest as it was pushed.
#[derive(Debug)]
pub(crate) struct NewManifest {
    pub(crate) content: Bytes,
    /// The `Content-Type`, which must agree with the content.
    pub(crate) content_type: Option<String>,
    /// What the client says is the digest; it chooses the algorithm also.
    pub(crate) digest: Option<Digest>,
    pub(crate) tags: Vec<Tag>,
}

/// What became of a [`NewManifest`].
#[derive(Debug)]
pub(crate) struct AcceptedManifest {
    pub(crate) digest: Digest,
    pub(crate) subject: Option<Digest>,
}

/// A manifest as it is served.
#[derive(Debug, Clone)]
pub(crate) struct StoredManifest {
    pub(crate) digest: Digest,
    pub(crate) media_type: &'static str,
    pub(crate) content: Bytes,
}

/// The manifests of every repository.
#[derive(Clone)]
pub(crate) struct ManifestStore {
    blobs: BlobStore,
    pub(super) revisions: RevisionStore,
    pub(super) tags: TagStore,
    pub(super) referrers: ReferrerStore,
    rules: ManifestRules,
    pub(super) large: Large,
    served: Contents<StoredManifest>,
    locks: ManifestLocks,
}

impl Weigh for StoredManifest {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.content.len()
    }
}

impl ManifestStore {
    /// Remembers what it serves, at most `memory` bytes of it.
    pub(super) fn new(
        driver: &DriverClient,
        blobs: BlobStore,
        links: &Links,
        rules: ManifestRules,
        memory: u64,
    ) -> Self {
        let revisions = RevisionStore::new(driver.clone(), links.clone());
        let tags = TagStore::new(driver.clone(), links.clone());
        let referrers = ReferrerStore::new(driver.clone());
        let large = Large::new(stored_bytes_max(rules));
        ManifestStore {
            blobs,
            revisions,
            tags,
            referrers,
            rules,
            large,
            served: Contents::new(memory),
            locks: ManifestLocks::default(),
        }
    }

    /// The most bytes of a manifest that [`Self::put`] is to be given.
    pub(crate) fn bytes_max(&self) -> usize {
        self.rules.bytes_max
    }

    /// Waits for room for a manifest of `bytes`, which is to be had before it is received.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Place, StorageError> {
        self.large.receive(bytes).await
    }

    /// Stores a manifest byte for byte and makes its tags name it. Nothing is written before all of it was checked.
    pub(crate) async fn put(&self, name: &RepositoryName, new: NewManifest) -> Result<AcceptedManifest, StorageError> {
        let digest = digest_of(&new)?;
        let content_type = new.content_type.clone();
        let parse = move |content: &[u8]| Manifest::parse(content, content_type.as_deref());
        let manifest = self.large.read(&new.content, parse).await;
        let manifest = manifest.map_err(|problem| StorageError::ManifestInvalid(problem.to_string()))?;
        self.check_references(name, &manifest).await?;
        let accepted = AcceptedManifest { digest, subject: manifest.subject().map(|subject| subject.digest.clone()) };
        self.blobs.put(name, &accepted.digest, new.content).await?;
        let _kept = self.locks.of(name, &accepted.digest).read().await;
        self.link(name, &accepted).await?;
        self.tag(name, &new.tags, &accepted).await?;
        Ok(accepted)
    }

    async fn link(&self, name: &RepositoryName, manifest: &AcceptedManifest) -> Result<(), StorageError> {
        self.revisions.put(name, &manifest.digest).await?;
        match &manifest.subject {
            Some(subject) => self.referrers.put(name, subject, &manifest.digest).await,
            None => Ok(()),
        }
    }

    /// A deletion of the same manifest that another registry runs beside this push may look for tags before these are
    /// written, and take the revision after it was. It looks once more when the revision is gone, and a push looks for the
    /// revision when the tags are written, so one of the two sees the other and no tag is left without its revision.
    async fn tag(&self, name: &RepositoryName, tags: &[Tag], manifest: &AcceptedManifest) -> Result<(), StorageError> {
        stream::iter(tags.to_vec())
            .map(|tag| async move { self.tags.put(name, &tag, &manifest.digest).await })
            .buffer_unordered(CONCURRENCY)
            .try_collect::<()>()
            .await?;
        if !tags.is_empty() && !self.revisions.exists(name, &manifest.digest).await? {
            self.link(name, manifest).await?;
        }
        Ok(())
    }

    async fn check_references(&self, name: &RepositoryName, manifest: &Manifest) -> Result<(), StorageError> {
        let mut missing = Vec::new();
        if !self.rules.allow_missing_blobs {
            missing.extend(self.missing(name, Need::Blob, manifest.blobs()).await?);
        }
        if !self.rules.allow_sparse_indexes {
            missing.extend(self.missing(name, Need::Manifest, manifest.manifests()).await?);
        }
        if missing.is_empty() { Ok(()) } else { Err(StorageError::ManifestBlobUnknown(missing)) }
    }

    /// Those of `named` that the repository does not have, each once, as far as it is worth telling them all. What
    /// clients fetch elsewhere it need not have.
    async fn missing(
        &self,
        name: &RepositoryName,
        need: Need,
        named: &[Descriptor],
    ) -> Result<Vec<Digest>, StorageError> {
        let wanted = named.iter().filter(|descriptor| !descriptor.is_foreign());
        let wanted: BTreeSet<Digest> = wanted.map(|descriptor| descriptor.digest.clone()).collect();
        stream::iter(wanted)
            .map(|digest| async move {
                Ok::<_, StorageError>((!self.has(name, need, &digest).await?).then_some(digest))
            })
            .buffered(CONCURRENCY)
            .try_filter_map(|missing| ready(Ok(missing)))
            .take(MISSING_TOLD_MAX)
            .try_collect()
            .await
    }

    async fn has(&self, name: &RepositoryName, need: Need, digest: &Digest) -> Result<bool, StorageError> {
        match need {
            Need::Manifest => self.revisions.exists(name, digest).await,
            Need::Blob => self.blobs.is_linked(name, digest).await,
        }
    }

    /// The manifest that `reference` names in this repository.
    pub(crate) async fn get(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<StoredManifest, StorageError> {
        let digest = match reference {
            Reference::Tag(tag) => self.tags.resolve(name, tag).await?.ok_or(StorageError::ManifestUnknown)?,
            Reference::Digest(digest) => digest.clone(),
        };
        self.stored(name, digest).await?.ok_or(StorageError::ManifestUnknown)
    }

    async fn stored(&self, name: &RepositoryName, digest: Digest) -> Result<Option<StoredManifest>, StorageError> {
        if !self.revisions.exists(name, &digest).await? {
            return Ok(None);
        }
        if let Some(stored) = self.served.get(&digest) {
            return Ok(Some(stored));
        }
        let Some(content) = self.revision_content(name, &digest).await? else { return Ok(None) };
        let media_type = self.large.read(&content, media_type_of).await;
        self.served.keep(&digest, &content, |content| StoredManifest { digest: digest.clone(), media_type, content });
        Ok(Some(StoredManifest { digest, media_type, content }))
    }

    /// The content of a revision; `None` without one. The revision is asked for first: any blob of the store could be
    /// named here, also one of another repository, and a large one must not be read in vain.
    pub(super) async fn content(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<Bytes>, StorageError> {
        if !self.revisions.exists(name, digest).await? {
            return Ok(None);
        }
        self.revision_content(name, digest).await
    }

    async fn revision_content(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<Bytes>, StorageError> {
        // Boxed, it does not make the future of what is remembered as large.
        let content = Box::pin(self.read(digest)).await?;
        if content.is_none() {
            tracing::warn!(repository = %name, %digest, "the content of a manifest is gone");
        }
        Ok(content)
    }

    /// Takes away a tag, or a revision with every tag that names it. Content stays, since others may use it.
    pub(crate) async fn delete(&self, name: &RepositoryName, reference: &Reference) -> Result<(), StorageError> {
        let existed = match reference {
            Reference::Tag(tag) => self.tags.delete(name, tag).await?,
            Reference::Digest(digest) => {
                let _alone = self.locks.of(name, digest).write().await;
                self.delete_revision(name, digest).await?
            }
        };
        if existed { Ok(()) } else { Err(StorageError::ManifestUnknown) }
    }

    async fn delete_revision(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        if !self.revisions.exists(name, digest).await? {
            return Ok(false);
        }
        self.tags.delete_all_of(name, digest).await?;
        if let Some(subject) = self.subject(digest).await? {
            self.referrers.delete(name, &subject, digest).await?;
        }
        self.revisions.delete(name, digest).await?;
        if !self.revisions.exists(name, digest).await? {
            self.tags.delete_all_of(name, digest).await?;
        }
        Ok(true)
    }

    async fn subject(&self, digest: &Digest) -> Result<Option<Digest>, StorageError> {
        let content = self.read(digest).await?;
        match content {
            Some(content) => Ok(self.large.read(&content, subject_of).await),
            None => Ok(None),
        }
    }

    /// Also what was pushed before the limit was lowered. Nearly all are of the usual size; for others there has to be room
    /// before they are fetched for good.
    async fn read(&self, digest: &Digest) -> Result<Option<Bytes>, StorageError> {
        let turn = self.large.fetch().await?;
        let size = match self.blobs.get(digest, INLINE_MAX).await {
            Ok(Some(content)) if content.len() > USUAL_MAX => content.len(),
            Err(StorageError::Driver(error)) if error.kind() == DriverErrorKind::TooLarge => {
                stored_bytes_max(self.rules)
            }
            content => return content,
        };
        drop(turn);
        let place = self.large.serve(size).await?;
        Ok(self.blobs.get(digest, size).await?.map(|content| place.hold(content)))
    }
}

fn stored_bytes_max(rules: ManifestRules) -> usize {
    rules.bytes_max.max(USUAL_BYTES_MAX)
}

/// The digest of the content, which must be the one that the client gave if it gave one.
fn digest_of(new: &NewManifest) -> Result<Digest, StorageError> {
    let Some(claimed) = &new.digest else { return Ok(Digest::of(Algorithm::Sha256, &new.content)) };
    verify(claimed, Digest::of(claimed.algorithm(), &new.content))?;
    Ok(claimed.clone())
}

/// The subject that stored content says it has.
pub(super) fn subject_of(content: &[u8]) -> Option<Digest> {
    Manifest::parse(content, None).ok()?.subject().map(|subject| subject.digest.clone())
}

/// What is stored was a manifest to whoever stored it, also where it is none to this version.
fn media_type_of(content: &[u8]) -> &'static str {
    Manifest::parse(content, None).map_or(media_type::JSON, |manifest| manifest.media_type())
}
