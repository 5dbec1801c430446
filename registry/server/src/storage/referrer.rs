//! [`ReferrerStore`]: the index of the manifests that are about another one, one link for each.
//!
//! The index says nothing that the manifests do not say themselves: it spares reading them all. It is written before a
//! tag and deleted before a revision, so an entry without its revision is what a crash or a race leaves; readers pass
//! over it.
//!
//! It must not know what a manifest says.

use futures::{StreamExt, TryStreamExt};
use oci::{Digest, RepositoryName};

use crate::driver::DriverClient;

use super::error::StorageError;
use super::page::Page;
use super::{layout, link};

/// The referrers of every manifest, also of manifests that are not there.
#[derive(Clone)]
pub(crate) struct ReferrerStore {
    driver: DriverClient,
}

impl ReferrerStore {
    pub(super) fn new(driver: DriverClient) -> Self {
        ReferrerStore { driver }
    }

    pub(crate) async fn put(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<(), StorageError> {
        link::write(&self.driver, &layout::referrer_link(name, subject, referrer), referrer).await
    }

    pub(crate) async fn delete(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<(), StorageError> {
        Ok(self.driver.delete(&layout::referrer_link(name, subject, referrer)).await?)
    }

    /// At most `limit` referrers, ordered as digests are, after `after`, which need not exist.
    pub(crate) async fn list(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>, StorageError> {
        let after = after.map(|after| layout::referrer_link(name, subject, after));
        let walk = link::walk(&self.driver, layout::referrers(name, subject), after.as_ref());
        let mut items: Vec<Digest> = walk.take(limit + 1).try_collect().await?;
        let more = items.len() > limit;
        items.truncate(limit);
        Ok(Page { items, more })
    }
}
