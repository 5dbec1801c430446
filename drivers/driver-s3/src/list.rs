//! How the keys of a bucket are listed; the kit makes names of them.

use driver_kit::flat::{Listed, Listing, PageRequest};
use driver_kit::{Info, Result};

use crate::bucket::Bucket;

impl Listing for Bucket {
    async fn keys(&self, request: &PageRequest<'_>) -> Result<Listed> {
        let listed = self.list(request).await?;
        let contents = listed.objects.into_iter().map(|(key, object)| (key, object.info()));
        let prefixes = listed.prefixes.into_iter().map(|key| (key, Info::Prefix));
        Ok(Listed { entries: contents.chain(prefixes).collect(), token: listed.next })
    }

    async fn has_any(&self, prefix: &str) -> Result<bool> {
        self.has_any(prefix).await
    }
}
