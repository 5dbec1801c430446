//! How the keys of a container are listed; the kit makes names of them.

use driver_kit::flat::{Listed, Listing, PageRequest};
use driver_kit::{Info, Result};

use crate::container::Container;

/// The container is asked for no fewer keys than so many, since what does not show counts too.
const LEAST: usize = 256;

impl Listing for Container {
    async fn keys(&self, request: &PageRequest<'_>) -> Result<Listed> {
        let listed = self.list(&PageRequest { limit: request.limit.max(LEAST), ..*request }).await?;
        let whole = listed.objects.into_iter().filter(|(_, object)| object.is_whole());
        let contents = whole.map(|(key, object)| (key, object.info()));
        let prefixes = listed.prefixes.into_iter().map(|key| (key, Info::Prefix));
        Ok(Listed { entries: contents.chain(prefixes).collect(), token: listed.next })
    }

    async fn has_any(&self, prefix: &str) -> Result<bool> {
        self.has_any(prefix).await
    }
}
