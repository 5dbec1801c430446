//! How objects of a bucket are read: by the kit, one version however often its connection breaks.

use aws_sdk_s3::primitives::ByteStream;
use driver_kit::flat::{Chunks, Objects, Opened, Unread};
use driver_kit::{Info, Result};
use futures::{StreamExt, stream};

use crate::bucket::{Object, Wanted};
use crate::store::Store;

impl Objects for Store {
    async fn open(&self, key: &str, range: Option<&str>, version: Option<&str>) -> Result<Opened, Unread> {
        let etag = version.map(|version| format!("\"{version}\""));
        let wanted = range.map_or(Wanted::Whole, |range| Wanted::Range { range, etag: etag.as_deref() });
        let opened = self.bucket.get(key, wanted).await?;
        Ok(Opened { info: opened.object.info(), chunks: chunks(opened.body) })
    }

    async fn find(&self, key: &str) -> Result<Option<Info>> {
        Ok(self.bucket.head(key).await?.as_ref().map(Object::info))
    }
}

fn chunks(body: ByteStream) -> Chunks {
    let next = |mut body: ByteStream| async move {
        let chunk = body.next().await?;
        Some((chunk.map_err(Into::into), body))
    };
    stream::unfold(body, next).boxed()
}
