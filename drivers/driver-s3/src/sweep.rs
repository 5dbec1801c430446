//! What the dead left in the bucket: uploads that nobody completed, which cost money for as long as they lie there, and the
//! marks of moves and trials.

use std::time::{Duration, SystemTime};

use driver_kit::Result;
use driver_kit::flat::PageRequest;

use crate::store::{MOVES, PROBES, Store};

/// Pages of uploads of one sweep: the rest waits for the next, so that it never takes long.
const PAGES_MAX: usize = 20;
const MARKS_MAX: usize = 1000;
/// Far longer than anything takes that leaves a mark for as long as it lasts.
const MARK_AGE: Duration = Duration::from_secs(24 * 60 * 60);

impl Store {
    pub(crate) async fn sweep(&self, age: Duration) -> Result<usize> {
        for area in [MOVES, PROBES] {
            self.delete_old_marks(&self.keys.area(area)).await?;
        }
        self.abort_older_than(age).await
    }

    /// At most a page of them: more come together only in a bucket where drivers die all day.
    async fn delete_old_marks(&self, prefix: &str) -> Result<()> {
        let listed = self.bucket.list(&PageRequest { prefix, limit: MARKS_MAX, ..PageRequest::default() }).await?;
        let is_old = |modified: SystemTime| modified.elapsed().is_ok_and(|since| since > MARK_AGE);
        let old = listed.objects.into_iter().filter(|(_, object)| is_old(object.modified));
        let old: Vec<String> = old.map(|(key, _)| key).collect();
        self.bucket.delete_all(&old).await
    }

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
