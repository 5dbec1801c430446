//! [`RevisionStore`]: which manifests a repository has, one link each. The content is the blob of the same digest.
//!
//! It must not know what a manifest says.

use futures::Stream;
use oci::{Digest, RepositoryName};

use crate::driver::DriverClient;

use super::error::StorageError;
use super::links::Links;
use super::{layout, link};

/// The revisions of every repository.
#[derive(Clone)]
pub(crate) struct RevisionStore {
    driver: DriverClient,
    links: Links,
}

impl RevisionStore {
    pub(super) fn new(driver: DriverClient, links: Links) -> Self {
        RevisionStore { driver, links }
    }

    pub(crate) async fn put(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StorageError> {
        self.links.write(layout::revision_link(name, digest), digest).await
    }

    pub(crate) async fn exists(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, StorageError> {
        self.links.exists(&layout::revision_link(name, digest), digest).await
    }

    /// Deletes the revision, then what belongs to it: a crash between the two leaves signatures that nobody asks for.
    pub(crate) async fn delete(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StorageError> {
        let link = layout::revision_link(name, digest);
        self.links.delete(link.clone()).await?;
        self.links.delete_with(link, layout::revision(name, digest)).await
    }

    /// Every revision of a repository, ordered by algorithm and digits.
    pub(crate) fn list(&self, name: &RepositoryName) -> impl Stream<Item = Result<Digest, StorageError>> + use<> {
        link::walk(&self.driver, layout::revisions(name), None)
    }
}
