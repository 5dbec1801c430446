//! One page of the names below a path, in the contract's order.

use driver_kit::flat::Names;
use driver_kit::{Info, Page, Path, Result};

use crate::bucket::{Listed, PageRequest};
use crate::store::Store;

/// A bucket is asked for so many names more than are wanted: one that was listed already, and one that tells of more.
const EXTRA: usize = 2;

impl Store {
    pub(crate) async fn list(&self, path: &Path, start_after: Option<&str>, limit: usize) -> Result<Page> {
        let prefix = self.keys.below(path);
        let mut names = Names::new(&prefix, start_after);
        let start = start_after.map(|name| format!("{prefix}{name}"));
        let mut token = None;
        loop {
            let page = PageRequest {
                prefix: &prefix,
                delimited: true,
                start_after: start.as_deref().filter(|_| token.is_none()),
                token: token.as_deref(),
                limit: limit + EXTRA,
            };
            let listed = self.bucket.list(&page).await?;
            token = listed.next.clone();
            take(&mut names, listed);
            if token.is_none() {
                return Ok(names.page(limit));
            }
            if names.len() > limit {
                self.find_late(&prefix, &mut names).await?;
                return Ok(names.page(limit));
            }
        }
    }

    /// Adds the prefixes that the bucket would list later, and that come before its last name.
    async fn find_late(&self, prefix: &str, names: &mut Names<'_>) -> Result<()> {
        for name in names.late() {
            let below = format!("{prefix}{name}/");
            if self.bucket.has_any(&below).await? {
                names.add(&below, Info::Prefix);
            }
        }
        Ok(())
    }
}

fn take(names: &mut Names<'_>, listed: Listed) {
    for (key, object) in listed.objects {
        names.add(&key, object.info());
    }
    for key in listed.prefixes {
        names.add(&key, Info::Prefix);
    }
}
