//! [`Store`]: one configured store, and its calls for single contents. The other calls stand in modules of their own.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use driver_kit::flat::{Area, Keys, Unread};
use driver_kit::{Error, ErrorKind, Info, Path, Result};
use futures::try_join;
use tokio::sync::Semaphore;

use crate::bucket::{Bucket, Object, Wanted, collect};
use crate::error::halfway;
use crate::moves::Movers;
use crate::settings::CopySettings;

/// Bytes of parts that are on their way to the server at once, over all sessions.
const TRANSFER_MAX: u64 = 128 << 20;
const TRANSFERS_MIN: u64 = 2;

/// What the driver keeps for itself of write sessions, by staging path.
pub(crate) const SESSIONS: Area = Area("~sessions");
/// Of moves under way, by source.
pub(crate) const MOVES: Area = Area("~moves");
/// Of trying out what the server can do.
pub(crate) const PROBES: Area = Area("~probes");

pub(crate) struct Store {
    pub(crate) bucket: Bucket,
    pub(crate) keys: Keys,
    /// The size of a part.
    pub(crate) part: u64,
    pub(crate) copies: CopySettings,
    pub(crate) movers: Movers,
    /// One permit for each part that may be on its way.
    pub(crate) transfers: Arc<Semaphore>,
}

impl Store {
    pub(crate) fn new(bucket: Bucket, root: &str, part: u64, copies: CopySettings) -> Self {
        let transfers = (TRANSFER_MAX / part).max(TRANSFERS_MIN);
        let transfers = Arc::new(Semaphore::new(usize::try_from(transfers).unwrap_or(1)));
        Store { bucket, keys: Keys::new(root), part, copies, movers: Movers::default(), transfers }
    }

    pub(crate) async fn stat(&self, path: &Path) -> Result<Info> {
        let (key, below) = (self.keys.content(path), self.keys.below(path));
        if let Some(object) = self.bucket.glance(&key).await? {
            return Ok(object.info());
        }
        match try_join!(self.bucket.look(&key), self.bucket.has_any(&below))? {
            (Some(object), _) => Ok(object.info()),
            (None, true) => Ok(Info::Prefix),
            (None, false) => Err(Error::not_found()),
        }
    }

    /// What is known of the content of `size` bytes that was just put at `path`. Somebody may have deleted it since; then the
    /// version is one that no content has.
    pub(crate) async fn info_of_new(&self, path: &Path, size: u64, etag: Option<String>) -> Result<Info> {
        let found = self.bucket.head(&self.keys.content(path)).await.map_err(halfway)?;
        let gone = || Object { size, modified: SystemTime::now(), etag: etag.unwrap_or_else(|| "gone".to_owned()) };
        Ok(found.unwrap_or_else(gone).info())
    }

    pub(crate) async fn get(&self, path: &Path, max: usize) -> Result<(Info, Bytes)> {
        let opened = self.bucket.get(&self.keys.content(path), Wanted::Whole).await;
        let opened = opened.map_err(Unread::into_error)?;
        if opened.object.size > max as u64 {
            return Err(Error::new(ErrorKind::TooLarge, format!("the content has {} bytes", opened.object.size)));
        }
        Ok((opened.object.info(), collect(opened.body).await?))
    }

    pub(crate) async fn put(&self, path: &Path, content: Bytes, if_absent: bool) -> Result<Info> {
        let size = content.len() as u64;
        let etag = self.bucket.put(&self.keys.content(path), content, if_absent).await?;
        self.info_of_new(path, size, etag).await
    }
}
