//! Purging one upload: it goes when nobody has changed it for long, and nobody is about to.
//!
//! A purge claims the upload and marks its turn as a request does, and looks at its age once more then: of a request and
//! a purge at once at least one sees the other, and whoever does leaves the upload to the other.

use std::time::SystemTime;

use futures::TryStreamExt;

use super::turn::Turn;
use super::{Upload, UploadStore};
use crate::storage::StorageError;
use crate::storage::layout::{self, TurnKind, UploadFact};

impl UploadStore {
    /// Deletes an upload of which nothing has changed since `before`, or with `dry_run` only tells whether it would.
    pub(crate) async fn purge(&self, upload: &Upload, before: SystemTime, dry_run: bool) -> Result<bool, StorageError> {
        let stale = self.is_stale(upload, before).await?;
        if !stale || dry_run {
            return Ok(stale);
        }
        let Some(_claim) = self.claims.take_idle(upload.id) else { return Ok(false) };
        let turn = Turn::mark(&self.driver, upload, TurnKind::Purging).await?;
        match self.is_stale(upload, before).await {
            Ok(true) => self.delete_marked(upload).await.map(|()| true),
            kept => {
                turn.end().await;
                kept
            }
        }
    }

    /// Without `startedat` there is no upload any more. It goes before the mark of the purge, so that no request finds an
    /// upload without the mark.
    async fn delete_marked(&self, upload: &Upload) -> Result<(), StorageError> {
        self.driver.delete(&upload.path(UploadFact::Started)).await?;
        Ok(self.driver.delete_tree(&upload.folder()).await?)
    }

    /// Hash states are renewed while bytes come, and what lacks even the time of its beginning has at least that of its
    /// remains. Other purges do not count, and an upload that is gone meanwhile is not stale.
    async fn is_stale(&self, upload: &Upload, before: SystemTime) -> Result<bool, StorageError> {
        let folder = upload.folder();
        let entries: Vec<_> = self.driver.walk(&folder, None).try_collect().await?;
        let is_purge =
            |path| matches!(layout::upload_fact(&folder, path), Some(UploadFact::Turn(TurnKind::Purging, _)));
        let traces = entries.iter().filter(|entry| !is_purge(&entry.path)).map(|entry| entry.info.modified);
        Ok(traces.max().is_some_and(|newest| newest < before))
    }
}
