//! What the dead left in the bucket and what costs money for as long as it lies there: uploads that nobody completed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use driver_kit::Result;

use crate::store::Store;

const SWEEP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Pages of uploads of one sweep: the rest waits for the next, so that it never takes long.
const PAGES_MAX: usize = 20;

/// Sweeps now and every day, for as long as the process lives.
pub(crate) fn sweep_in_background(store: &Arc<Store>, age: Duration) {
    let store = Arc::clone(store);
    tokio::spawn(async move {
        loop {
            match store.abort_older_than(age).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "multipart uploads that nobody completed were aborted"),
                Err(problem) => tracing::warn!(%problem, "multipart uploads could not be looked through"),
            }
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    });
}

impl Store {
    /// Aborts the uploads of this store that were begun longer ago than `age`; how many.
    async fn abort_older_than(&self, age: Duration) -> Result<usize> {
        let (mut aborted, mut after) = (0, None);
        for _ in 0..PAGES_MAX {
            let page = self.bucket.list_uploads(self.keys.root(), after.as_ref()).await?;
            let Some((uploads, more)) = page else { return Ok(aborted) };
            let is_old = |begun: SystemTime| begun.elapsed().is_ok_and(|since| since > age);
            for listed in uploads.iter().filter(|listed| listed.begun.is_some_and(is_old)) {
                self.bucket.abort(&listed.upload).await?;
                aborted += 1;
            }
            after = uploads.into_iter().last().map(|listed| listed.upload);
            if !more || after.is_none() {
                break;
            }
        }
        Ok(aborted)
    }
}
