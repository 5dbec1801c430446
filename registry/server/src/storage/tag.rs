//! [`TagStore`]: which revision a tag names, and which it has ever named.
//!
//! The history of a tag is written before the tag moves and taken away after the tag is gone, so that a crash leaves at
//! most history. A tag of which only history is left appears in lists, names nothing, and goes when it is deleted again.
//! Two pushes of one tag need no lock: each replaces one small file as a whole, and the later one stays.
//!
//! It must not know what a manifest says.

use futures::{StreamExt, TryStreamExt, stream};
use oci::{Digest, RepositoryName, Tag};

use crate::driver::DriverClient;

use super::error::StorageError;
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
}

impl TagStore {
    pub(super) fn new(driver: DriverClient) -> Self {
        TagStore { driver }
    }

    /// The revision that a tag names; `None` without such a tag.
    pub(crate) async fn resolve(&self, name: &RepositoryName, tag: &Tag) -> Result<Option<Digest>, StorageError> {
        link::read(&self.driver, &layout::tag_current(name, tag)).await
    }

    /// Makes `tag` name `digest`, whatever it named before.
    pub(crate) async fn put(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> Result<(), StorageError> {
        link::write(&self.driver, &layout::tag_index_link(name, tag, digest), digest).await?;
        link::write(&self.driver, &layout::tag_current(name, tag), digest).await
    }

    /// Takes a tag away, with its history; `false` when it named nothing.
    pub(crate) async fn delete(&self, name: &RepositoryName, tag: &Tag) -> Result<bool, StorageError> {
        let existed = self.resolve(name, tag).await?.is_some();
        self.driver.delete(&layout::tag_current(name, tag)).await?;
        self.driver.delete_tree(&layout::tag(name, tag)).await?;
        Ok(existed)
    }

    /// Takes away every tag that names `digest`.
    ///
    /// It reads each tag of the repository, so its cost grows with their number and not with the store. A tag that a push
    /// moves between being read and being deleted is lost to the deletion, as if it had been pushed just before.
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

    async fn delete_if(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> Result<(), StorageError> {
        if self.resolve(name, tag).await?.as_ref() == Some(digest) {
            self.delete(name, tag).await?;
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
