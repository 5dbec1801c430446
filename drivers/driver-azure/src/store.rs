//! [`Store`]: one configured store, and its calls for single contents. The other calls stand in modules of their own.

use std::sync::Arc;

use bytes::Bytes;
use driver_kit::flat::{Area, Keys, Unread};
use driver_kit::{Error, ErrorKind, Info, Path, Result};
use tokio::sync::Semaphore;

use crate::container::{Condition, Container, Wanted, collect};
use crate::error::{changing, is_condition, is_other_type};
use crate::settings::CopySettings;

/// What the driver keeps for itself of write sessions, by staging path.
pub(crate) const SESSIONS: Area = Area("~sessions");
/// Which session has its blocks beside a key that others may want too, by target path.
pub(crate) const TARGETS: Area = Area("~targets");

/// Bytes of blocks that are on their way to the server at once, over all sessions.
const TRANSFER_MAX: u64 = 128 << 20;
const TRANSFERS_MIN: u64 = 2;

pub(crate) struct Store {
    pub(crate) container: Container,
    pub(crate) keys: Keys,
    /// The size of a block.
    pub(crate) part: u64,
    pub(crate) copies: CopySettings,
    /// One permit for each block that may be on its way.
    pub(crate) transfers: Arc<Semaphore>,
}

impl Store {
    pub(crate) fn new(container: Container, keys: Keys, part: u64, copies: CopySettings) -> Self {
        let transfers = (TRANSFER_MAX / part).max(TRANSFERS_MIN);
        let transfers = Arc::new(Semaphore::new(usize::try_from(transfers).unwrap_or(1)));
        Store { container, keys, part, copies, transfers }
    }

    pub(crate) async fn stat(&self, path: &Path) -> Result<Info> {
        if let Some(object) = self.container.head(&self.keys.content(path)).await? {
            return Ok(object.info());
        }
        // Also tells whether there is a container at all.
        if self.container.has_any(&self.keys.below(path)).await? { Ok(Info::Prefix) } else { Err(Error::not_found()) }
    }

    pub(crate) async fn get(&self, path: &Path, max: usize) -> Result<(Info, Bytes)> {
        let opened = self.container.get(&self.keys.content(path), Wanted::Whole).await;
        let opened = opened.map_err(Unread::into_error)?;
        if opened.object.size > max as u64 {
            return Err(Error::new(ErrorKind::TooLarge, format!("the content has {} bytes", opened.object.size)));
        }
        Ok((opened.object.info(), collect(opened.body).await?))
    }

    pub(crate) async fn put(&self, path: &Path, content: Bytes, if_absent: bool) -> Result<Info> {
        let put = self.container.put_over(&self.keys.content(path), content, Condition::from(if_absent)).await;
        match put {
            Ok(object) => Ok(object.info()),
            Err(failure) if if_absent && (is_condition(&failure) || is_other_type(&failure)) => {
                Err(Error::already_exists())
            }
            Err(failure) => Err(changing(failure)),
        }
    }
}
