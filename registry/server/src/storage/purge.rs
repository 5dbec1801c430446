//! Purging: uploads that nobody continues are deleted some day.
//!
//! Any number of replicas may purge at once, and while others write: an upload goes by its age alone, and deleting what
//! is deleted already is no failure.

use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use oci::{RepositoryName, UploadId};

use super::StorageError;
use super::layout::{self, RepositoryChild};
use super::upload::Upload;
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
pub(crate) async fn purge_uploads(driver: &DriverClient, age: Duration, dry_run: bool) -> Result<Purged, StorageError> {
    let Some(before) = SystemTime::now().checked_sub(age) else { return Ok(Purged::default()) };
    let mut purge = Purge { driver, before, dry_run, purged: Purged::default() };
    let mut waiting = vec![None];
    while let Some(folder) = waiting.pop() {
        waiting.extend(purge.visit(folder).await?.into_iter().map(Some));
    }
    Ok(purge.purged)
}

struct Purge<'a> {
    driver: &'a DriverClient,
    before: SystemTime,
    dry_run: bool,
    purged: Purged,
}

impl Purge<'_> {
    /// Purges the uploads of one folder of the tree of repositories, and tells which ones are below it.
    async fn visit(&mut self, folder: Option<RepositoryName>) -> Result<Vec<RepositoryName>, StorageError> {
        let mut below = Vec::new();
        for name in self.names(&layout::repositories(folder.as_ref())).await? {
            match (layout::repository_child(folder.as_ref(), &name), &folder) {
                (Some(RepositoryChild::Name(child)), _) => below.push(child),
                (Some(RepositoryChild::Uploads), Some(repository)) => self.purge_repository(repository).await?,
                _ => {}
            }
        }
        Ok(below)
    }

    async fn purge_repository(&mut self, repository: &RepositoryName) -> Result<(), StorageError> {
        let ids = self.names(&layout::uploads(repository)).await?;
        for id in ids.iter().filter_map(|name| UploadId::parse(name).ok()) {
            self.purge_upload(Upload { repository: repository.clone(), id }).await?;
        }
        Ok(())
    }

    async fn purge_upload(&mut self, upload: Upload) -> Result<(), StorageError> {
        self.purged.found += 1;
        if !self.newest_trace(&upload).await?.is_some_and(|newest| newest < self.before) {
            return Ok(());
        }
        self.purged.deleted += 1;
        tracing::info!(repository = %upload.repository, upload = %upload.id, dry_run = self.dry_run, "a stale upload");
        if !self.dry_run {
            self.driver.delete_tree(&layout::upload(&upload.repository, &upload.id)).await?;
        }
        Ok(())
    }

    /// When anything of the upload last changed: hash states are renewed while bytes come, and what lacks even the time
    /// of its beginning has at least that of its remains. `None` when it is gone meanwhile.
    async fn newest_trace(&self, upload: &Upload) -> Result<Option<SystemTime>, StorageError> {
        let folder = layout::upload(&upload.repository, &upload.id);
        let traces: Vec<_> = self.driver.walk(&folder, None).map_ok(|entry| entry.info.modified).try_collect().await?;
        Ok(traces.into_iter().max())
    }

    async fn names(&self, folder: &storagedriver_proto::Path) -> Result<Vec<String>, StorageError> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let page = self.driver.list(folder, names.last().map(String::as_str), PAGE).await?;
            names.extend(page.entries.into_iter().map(|entry| entry.name));
            if !page.more {
                return Ok(names);
            }
        }
    }
}
