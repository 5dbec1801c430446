//! Purging: uploads that nobody continues are deleted some day.
//!
//! Any number of replicas may purge at once, and while others write. It knows which uploads there are, and not what makes
//! one stale.

use std::time::{Duration, SystemTime};

use oci::{RepositoryName, UploadId};

use super::catalog::Descent;
use super::upload::{Upload, UploadStore};
use super::{StorageError, layout};
use crate::driver::DriverClient;

const PAGE: usize = 1000;

/// What a purge came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Purged {
    /// Uploads that were looked at.
    pub(crate) found: u64,
    /// Uploads that were deleted, or would have been.
    pub(crate) deleted: u64,
}

/// Deletes uploads of which nothing has changed for `age`, or with `dry_run` only counts them.
pub(crate) async fn purge_uploads(
    driver: &DriverClient,
    uploads: &UploadStore,
    age: Duration,
    dry_run: bool,
) -> Result<Purged, StorageError> {
    let Some(before) = SystemTime::now().checked_sub(age) else { return Ok(Purged::default()) };
    let mut purge = Purge { driver, uploads, before, dry_run, purged: Purged::default() };
    let mut descent = Descent::after(None);
    while let Some(repository) = descent.next(driver).await? {
        purge.try_repository(&repository).await;
    }
    Ok(purge.purged)
}

struct Purge<'a> {
    driver: &'a DriverClient,
    uploads: &'a UploadStore,
    before: SystemTime,
    dry_run: bool,
    purged: Purged,
}

impl Purge<'_> {
    /// One repository that cannot be read must not keep all others.
    async fn try_repository(&mut self, repository: &RepositoryName) {
        if let Err(error) = self.purge_repository(repository).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(%repository, error, "a repository cannot be purged");
        }
    }

    async fn purge_repository(&mut self, repository: &RepositoryName) -> Result<(), StorageError> {
        let (folder, mut after) = (layout::uploads(repository), None::<String>);
        loop {
            let page = self.driver.list(&folder, after.as_deref(), PAGE).await?;
            for id in page.entries.iter().filter_map(|entry| UploadId::parse(&entry.name).ok()) {
                self.try_upload(&Upload { repository: repository.clone(), id }).await;
            }
            after = page.entries.into_iter().last().map(|entry| entry.name);
            if !page.more {
                return Ok(());
            }
        }
    }

    /// One upload that cannot be read or deleted must not keep all others.
    async fn try_upload(&mut self, upload: &Upload) {
        if let Err(error) = self.purge_upload(upload).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(repository = %upload.repository, upload = %upload.id, error, "an upload cannot be purged");
        }
    }

    async fn purge_upload(&mut self, upload: &Upload) -> Result<(), StorageError> {
        self.purged.found += 1;
        if self.uploads.purge(upload, self.before, self.dry_run).await? {
            tracing::info!(repository = %upload.repository, upload = %upload.id, dry_run = self.dry_run, "a stale upload");
            self.purged.deleted += 1;
        }
        Ok(())
    }
}
