//! How objects of a container are read: by the kit, one version however often its connection breaks.

use driver_kit::flat::{Objects, Opened, Unread};
use driver_kit::{Info, Result};
use futures::{StreamExt, TryStreamExt};

use crate::container::{Object, Wanted};
use crate::store::Store;

impl Objects for Store {
    async fn open(&self, key: &str, range: Option<&str>, version: Option<&str>) -> Result<Opened, Unread> {
        let wanted = range.map_or(Wanted::Whole, |range| Wanted::Range { range, etag: version });
        let opened = self.container.get(key, wanted).await?;
        Ok(Opened { info: opened.object.info(), chunks: opened.body.map_err(Into::into).boxed() })
    }

    async fn find(&self, key: &str) -> Result<Option<Info>> {
        Ok(self.container.head(key).await?.as_ref().map(Object::info))
    }
}
