//! [`TagStore`]: which revision a tag names, and which it has ever named.
//!
//! The history of a tag is written before the tag moves and taken away after the tag is gone, so that a crash leaves at
//! most history. A tag of which only history is left appears in lists, names nothing, and goes when it is deleted again.
//! Two pushes of one tag need no lock: each replaces one small file as a whole, and the later one stays. Nor does a
//! deletion that only wants a tag while it names one revision: it takes that file away first and looks at it then.
//!
//! It must not know what a manifest says.

use futures::{StreamExt, TryStreamExt, stream};
use oci::{Digest, RepositoryName, Tag};
use uuid::Uuid;

use crate::driver::DriverClient;

use super::error::StorageError;
use super::links::Links;
use super::page::Page;
use super::{layout, link};

/// How many tags are looked at in one listing when all of them must be.
const SCAN_PAGE: usize = 1000;
/// How many of those at once.
const SCAN_CONCURRENCY: usize = 16;

/// The tags of every repository.
#[derive(Clone)]
pub(crate) struct TagStore {
    driver: DriverClient,
    links: Links,
}

impl TagStore {
    pub(super) fn new(driver: DriverClient, links: Links) -> Self {
        TagStore { driver, links }
    }

    /// The revision that a tag names; `None` without such a tag.
    pub(crate) async fn resolve(&self, name: &RepositoryName, tag: &Tag) -> Result<Option<Digest>, StorageError> {
        self.links.read(&layout::tag_current(name, tag)).await
    }

    /// Makes `tag` name `digest`, whatever it named before.
    pub(crate) async fn put(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> Result<(), StorageError> {
        link::write(&self.driver, &layout::tag_index_link(name, tag, digest), digest).await?;
        self.links.write(layout::tag_current(name, tag), digest).await
    }

    /// Takes a tag away, with its history; `false` when it named nothing.
    pub(crate) async fn delete(&self, name: &RepositoryName, tag: &Tag) -> Result<bool, StorageError> {
        let existed = self.resolve(name, tag).await?.is_some();
        let current = layout::tag_current(name, tag);
        self.links.delete(current.clone()).await?;
        self.links.delete_with(current, layout::tag(name, tag)).await?;
        Ok(existed)
    }

    /// Takes away every tag that names `digest`.
    ///
    /// It reads each tag of the repository, so its cost grows with their number and not with the store.
    pub(crate) async fn delete_all_of(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StorageError> {
        let mut after = None;
        loop {
            let page = self.list(name, after.as_ref(), SCAN_PAGE).await?;
            stream::iter(page.items.clone())
                .map(|tag| async move { self.delete_if(name, &tag, digest).await })
                .buffer_unordered(SCAN_CONCURRENCY)
                .try_collect::<()>()
                .await?;
            after = page.items.into_iter().last();
            if !page.more || after.is_none() {
                return Ok(());
            }
        }
    }

    /// Takes a tag away if it names `digest`.
    ///
    /// A push may move the tag after it was read. So the link is moved aside, which of any number of callers one does, and
    /// is read again there, where nobody changes it: what is not to go is put back. Only in such a race does the tag name
    /// nothing for a moment, and a crash in that moment loses it. History that the push wrote may go; nothing needs it.
    async fn delete_if(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> Result<(), StorageError> {
        if self.resolve(name, tag).await?.as_ref() != Some(digest) {
            return Ok(());
        }
        let taken = layout::tag_leaving(name, tag, &Uuid::now_v7());
        if !self.links.take(layout::tag_current(name, tag), taken.clone()).await? {
            return Ok(());
        }
        match link::read(&self.driver, &taken).await? {
            Some(other) if other != *digest => self.put_back(name, tag, &other).await?,
            _ => self.driver.delete_tree(&layout::tag_index(name, tag)).await?,
        }
        Ok(self.driver.delete(&taken).await?)
    }

    /// Makes a tag name again what it named, unless a push has come since, which is the later one.
    async fn put_back(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> Result<(), StorageError> {
        if self.resolve(name, tag).await?.is_none() {
            self.links.write(layout::tag_current(name, tag), digest).await?;
        }
        Ok(())
    }

    /// At most `limit` tags, which is not 0, bytewise ordered, after `after`, which need not exist.
    pub(crate) async fn list(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Page<Tag>, StorageError> {
        let folder = layout::tags(name);
        let mut after = after.map(Tag::to_string);
        let mut tags = Vec::new();
        loop {
            let page = self.driver.list(&folder, after.as_deref(), limit - tags.len()).await?;
            tags.extend(page.entries.iter().filter_map(|entry| Tag::parse(&entry.name).ok()));
            after = page.entries.into_iter().last().map(|entry| entry.name).or(after);
            if !page.more || tags.len() == limit {
                return Ok(Page { items: tags, more: page.more });
            }
        }
    }
}
