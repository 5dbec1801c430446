//! What a registry keeps, and what it means: blobs, revisions, tags, manifests, uploads.
//!
//! It must not know HTTP nor gRPC, and only `layout` makes or takes apart a path.

mod blob;
mod cache;
mod catalog;
mod contents;
mod error;
mod large;
mod layout;
mod link;
mod links;
mod manifest;
mod manifest_locks;
mod page;
mod purge;
mod referrer;
mod referrers;
mod revision;
mod tag;
mod upload;

use std::time::Duration;

pub(crate) use crate::driver::{LocalFile, RedirectMethod};
pub(crate) use blob::{Blob, BlobStore, Held};
pub(crate) use catalog::Catalog;
pub(crate) use error::StorageError;
pub(crate) use manifest::{AcceptedManifest, ManifestRules, ManifestStore, NewManifest};
pub(crate) use page::Page;
pub(crate) use purge::Purged;
pub(crate) use referrers::{Referrers, ReferrersPage, ReferrersRequest};
pub(crate) use tag::TagStore;
pub(crate) use upload::{BodyError, Incoming, Upload, UploadStore};

use crate::driver::DriverClient;
use links::Links;

/// The store of one registry.
#[derive(Clone)]
pub(crate) struct Registry {
    driver: DriverClient,
    blobs: BlobStore,
    uploads: UploadStore,
    manifests: ManifestStore,
    catalog: Catalog,
}

/// What the operator decided about what is stored.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Most bytes of one blob.
    pub(crate) blob_bytes_max: Option<u64>,
    /// Most bytes of what is remembered of the store.
    pub(crate) memory_bytes_max: u64,
    pub(crate) manifests: ManifestRules,
}

impl Registry {
    pub(crate) fn new(driver: DriverClient, settings: &Settings) -> Self {
        let part = settings.memory_bytes_max / 4;
        let links = Links::new(driver.clone(), part);
        let blobs = BlobStore::new(driver.clone(), links.clone(), 2 * part);
        let uploads = UploadStore::new(driver.clone(), blobs.clone(), settings.blob_bytes_max);
        let manifests = ManifestStore::new(&driver, blobs.clone(), &links, settings.manifests, part);
        let catalog = Catalog::new(driver.clone());
        Registry { driver, blobs, uploads, manifests, catalog }
    }

    pub(crate) fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    pub(crate) fn uploads(&self) -> &UploadStore {
        &self.uploads
    }

    pub(crate) fn manifests(&self) -> &ManifestStore {
        &self.manifests
    }

    pub(crate) fn tags(&self) -> &TagStore {
        &self.manifests.tags
    }

    pub(crate) fn referrers(&self) -> Referrers<'_> {
        Referrers::new(&self.manifests, &self.catalog)
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Makes the referrers index from the manifests, and tells how many have a subject.
    pub(crate) async fn rebuild_referrers(&self) -> Result<usize, StorageError> {
        self.referrers().rebuild().await
    }

    /// Deletes uploads of which nothing has changed for `age`, or with `dry_run` only counts them.
    pub(crate) async fn purge_uploads(&self, age: Duration, dry_run: bool) -> Result<Purged, StorageError> {
        purge::purge_uploads(&self.driver, &self.uploads, age, dry_run).await
    }
}
