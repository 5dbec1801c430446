//! What the dead left in the container: sessions that nobody went on with, and the claims of targets.
//!
//! Blocks that nobody commits need no sweeping: Azure throws them away a week after the last one came.

use std::time::{Duration, SystemTime};

use driver_kit::flat::PageRequest;
use driver_kit::{Path, Result};

use crate::store::{SESSIONS, Store, TARGETS};

/// Pages of one sweep: the rest waits for the next, so that it never takes long.
const PAGES_MAX: usize = 20;
const PAGE: usize = 1000;

impl Store {
    pub(crate) async fn sweep(&self, age: Duration) -> Result<usize> {
        let is_old = |modified: SystemTime| modified.elapsed().is_ok_and(|since| since > age);
        let mut count = 0;
        for area in [SESSIONS, TARGETS] {
            let (prefix, mut marker) = (self.keys.area(area), None);
            for _ in 0..PAGES_MAX {
                let page =
                    PageRequest { prefix: &prefix, token: marker.as_deref(), limit: PAGE, ..PageRequest::default() };
                let listed = self.container.list(&page).await?;
                for (key, _) in listed.objects.iter().filter(|(_, object)| is_old(object.modified)) {
                    self.take_away(key).await?;
                    count += 1;
                }
                marker = listed.next;
                if marker.is_none() {
                    break;
                }
            }
        }
        Ok(count)
    }

    /// A record is the last to know where the blocks of its session are.
    async fn take_away(&self, key: &str) -> Result<()> {
        if let Some(kept) = self.record_at(key).await?
            && let Ok(path) = Path::parse(&kept.record.path)
        {
            return self.end(&path, &kept).await.map(drop);
        }
        self.container.delete(key).await.map(drop)
    }
}
