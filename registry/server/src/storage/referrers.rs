//! [`Referrers`]: the manifests that are about another one, described from their own content.
//!
//! Two sources name them: the index that pushes keep, and the list that clients keep at a tag for registries without
//! such an index. A store written by distribution has only the latter, and has neither for what was pushed by clients
//! that keep no list: [`Referrers::rebuild`] makes the index from the revisions.
//!
//! It must not know HTTP.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use oci::{Descriptor, Digest, Manifest, Reference, RepositoryName, referrers};

use super::catalog::Catalog;
use super::error::StorageError;
use super::manifest::{ManifestStore, subject_of};
use super::page::Page;

/// The most manifests that are read for one page, however few of them have the type that is asked for.
const EXAMINED_MAX: usize = 1000;
/// How many at once; each may be as large as a manifest may be.
const CONCURRENCY: usize = 4;
/// The most bytes of descriptors in a page, unless the first alone has more.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// How many repositories a rebuild learns of at once.
const CATALOG_PAGE: usize = 100;

/// Which referrers are wanted.
#[derive(Debug)]
pub(crate) struct ReferrersRequest {
    pub(crate) subject: Digest,
    pub(crate) artifact_type: Option<String>,
    pub(crate) after: Option<Digest>,
    /// Not 0.
    pub(crate) limit: usize,
}

/// Some referrers, ordered by their digests.
#[derive(Debug, Default)]
pub(crate) struct ReferrersPage {
    pub(crate) descriptors: Vec<Descriptor>,
    /// Where the next page begins; not always a digest of this one, since others may have been passed over.
    pub(crate) next_after: Option<Digest>,
}

/// The referrers of every manifest.
#[derive(Clone, Copy)]
pub(crate) struct Referrers<'a> {
    manifests: &'a ManifestStore,
    catalog: &'a Catalog,
}

impl<'a> Referrers<'a> {
    pub(super) fn new(manifests: &'a ManifestStore, catalog: &'a Catalog) -> Self {
        Referrers { manifests, catalog }
    }

    /// A page of the referrers that are in the repository; empty where there are none, or no such repository.
    pub(crate) async fn list(
        &self,
        name: &RepositoryName,
        request: &ReferrersRequest,
    ) -> Result<ReferrersPage, StorageError> {
        let candidates = self.candidates(name, request).await?;
        let described = stream::iter(candidates.items)
            .map(|digest| async move { Ok::<_, StorageError>((self.describe(name, &digest).await?, digest)) })
            .buffered(CONCURRENCY);
        let mut described = std::pin::pin!(described);
        let mut page = PageBuilder::new(request);
        let mut examined = None;
        while let Some((descriptor, digest)) = described.try_next().await? {
            if !page.take(descriptor) {
                return Ok(page.ending_after(examined));
            }
            examined = Some(digest);
        }
        Ok(page.ending_after(examined.filter(|_| candidates.more)))
    }

    /// The digests to examine for a page, of both sources, each once.
    async fn candidates(
        &self,
        name: &RepositoryName,
        request: &ReferrersRequest,
    ) -> Result<Page<Digest>, StorageError> {
        let after = request.after.as_ref();
        let indexed = self.manifests.referrers.list(name, &request.subject, after, EXAMINED_MAX).await?;
        let end = indexed.items.last().filter(|_| indexed.more).cloned();
        let tagged = self.tagged(name, &request.subject).await?;
        let on_page =
            |digest: &Digest| after.is_none_or(|after| digest > after) && end.as_ref().is_none_or(|end| digest < end);
        let all: BTreeSet<Digest> = indexed.items.into_iter().chain(tagged.into_iter().filter(on_page)).collect();
        let more = indexed.more || all.len() > EXAMINED_MAX;
        Ok(Page { items: all.into_iter().take(EXAMINED_MAX).collect(), more })
    }

    /// What a client listed at the tag that stands for the subject.
    async fn tagged(&self, name: &RepositoryName, subject: &Digest) -> Result<Vec<Digest>, StorageError> {
        let tag = referrers::fallback_tag(subject);
        let content = match self.manifests.get(name, &Reference::Tag(tag)).await {
            Ok(stored) => stored.content,
            Err(StorageError::ManifestUnknown) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let listed = self.manifests.large.read(&content, |content| {
            Manifest::parse(content, None).map(|index| index.manifests().to_vec()).unwrap_or_default()
        });
        let listed = listed.await;
        Ok(listed.into_iter().map(|descriptor| descriptor.digest).collect())
    }

    /// How a referrer is listed; `None` when it is gone.
    async fn describe(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<Descriptor>, StorageError> {
        let Some(content) = self.manifests.content(name, digest).await? else { return Ok(None) };
        let digest = digest.clone();
        let describe = move |content: &[u8]| {
            let manifest = Manifest::parse(content, None).ok()?;
            Some(referrers::describe(&manifest, digest, content.len() as u64))
        };
        Ok(self.manifests.large.read(&content, describe).await)
    }

    /// Indexes every manifest of the store that has a subject, and tells how many have. It only adds, so it may run
    /// beside pushes, and again after it broke off.
    pub(crate) async fn rebuild(&self) -> Result<usize, StorageError> {
        let mut indexed = 0;
        let mut after = None;
        loop {
            let page = self.catalog.list(after.as_ref(), CATALOG_PAGE).await?;
            for name in &page.items {
                indexed += self.rebuild_repository(name).await?;
            }
            after = page.items.into_iter().last();
            if !page.more {
                return Ok(indexed);
            }
        }
    }

    async fn rebuild_repository(&self, name: &RepositoryName) -> Result<usize, StorageError> {
        self.manifests
            .revisions
            .list(name)
            .map(|digest| async move { self.index(name, &digest?).await })
            .buffer_unordered(CONCURRENCY)
            .try_fold(0, |indexed, has_subject| std::future::ready(Ok(indexed + usize::from(has_subject))))
            .await
    }

    /// Indexes one manifest; `false` when it is about no other.
    async fn index(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        let Some(content) = self.manifests.content(name, digest).await? else { return Ok(false) };
        let Some(subject) = self.manifests.large.read(&content, subject_of).await else { return Ok(false) };
        self.manifests.referrers.put(name, &subject, digest).await?;
        Ok(true)
    }
}

/// A page in the making: it knows what may be on it and how much.
struct PageBuilder<'a> {
    request: &'a ReferrersRequest,
    descriptors: Vec<Descriptor>,
    bytes: usize,
}

impl<'a> PageBuilder<'a> {
    fn new(request: &'a ReferrersRequest) -> Self {
        PageBuilder { request, descriptors: Vec::new(), bytes: 0 }
    }

    /// Takes a referrer, or passes over one that is not wanted; `false` when it belongs on the next page.
    fn take(&mut self, descriptor: Option<Descriptor>) -> bool {
        let Some(descriptor) = descriptor.filter(|descriptor| self.wants(descriptor)) else { return true };
        let bytes = self.bytes + size(&descriptor);
        let fits = self.descriptors.is_empty() || bytes <= PAGE_BYTES_MAX;
        if self.descriptors.len() == self.request.limit || !fits {
            return false;
        }
        self.bytes = bytes;
        self.descriptors.push(descriptor);
        true
    }

    fn wants(&self, descriptor: &Descriptor) -> bool {
        self.request.artifact_type.is_none() || descriptor.artifact_type == self.request.artifact_type
    }

    fn ending_after(self, next_after: Option<Digest>) -> ReferrersPage {
        ReferrersPage { descriptors: self.descriptors, next_after }
    }
}

/// About what a descriptor takes in a response: its annotations can be as long as a manifest, the rest cannot.
fn size(descriptor: &Descriptor) -> usize {
    const REST: usize = 512;
    descriptor.annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() + REST
}
