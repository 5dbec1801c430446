//! One page of the names below a path, in the contract's order.

use driver_kit::flat::Names;
use driver_kit::{Info, Page, Path, Result};

use crate::container::PageRequest;
use crate::listing::Listed;
use crate::store::Store;

/// The container is asked for so many names more than are wanted: one that was listed already, and one that tells of more.
const EXTRA: usize = 2;
/// It is asked for no fewer than so many, since what does not show counts too.
const LEAST: usize = 256;

impl Store {
    pub(crate) async fn list(&self, path: &Path, start_after: Option<&str>, limit: usize) -> Result<Page> {
        let prefix = self.keys.below(path);
        let mut names = Names::new(&prefix, start_after);
        let start = start_after.map(|name| format!("{prefix}{name}"));
        let mut marker = None;
        loop {
            let page = PageRequest {
                prefix: &prefix,
                delimited: true,
                start: start.as_deref(),
                marker: marker.as_deref(),
                limit: (limit + EXTRA).max(LEAST),
            };
            let listed = self.container.list(&page).await?;
            marker = listed.next.clone();
            take(&mut names, listed);
            if marker.is_none() {
                return Ok(names.page(limit));
            }
            if names.len() > limit {
                self.find_late(&prefix, &mut names).await?;
                return Ok(names.page(limit));
            }
        }
    }

    /// Adds the prefixes that the container would list later, and that come before its last name.
    async fn find_late(&self, prefix: &str, names: &mut Names<'_>) -> Result<()> {
        for name in names.late() {
            let below = format!("{prefix}{name}/");
            if self.container.has_any(&below).await? {
                names.add(&below, Info::Prefix);
            }
        }
        Ok(())
    }
}

fn take(names: &mut Names<'_>, listed: Listed) {
    for (key, object) in listed.objects.into_iter().filter(|(_, object)| object.is_whole()) {
        names.add(&key, object.info());
    }
    for key in listed.prefixes {
        names.add(&key, Info::Prefix);
    }
}
