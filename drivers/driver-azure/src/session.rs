//! [`Session`]: an open write session, whose bytes the kit gathers into blocks. Here is where they go, and whose they are.

use std::sync::Arc;

use driver_kit::flat::{Gathered, Parts};
use driver_kit::{Bytes, Error, ErrorKind, Path, Result};
use tokio::sync::Semaphore;

use crate::blocks::{BLOCKS_MAX, Id, Runs, id};
use crate::error::changing;
use crate::records::{Kept, Record};
use crate::store::Store;

/// An open write session.
pub type Session = Gathered<OwnBlocks>;

/// The blocks of a session of ours.
pub struct OwnBlocks {
    store: Arc<Store>,
    path: Path,
    kept: Kept,
    target: Option<Path>,
    /// Own blocks that arrived, without a gap.
    arrived: u32,
    /// The number of the next block.
    next: u32,
}

impl OwnBlocks {
    pub(crate) fn new(store: Arc<Store>, path: Path, kept: Kept, target: Option<Path>) -> Self {
        OwnBlocks { store, path, kept, target, arrived: 0, next: 0 }
    }

    pub(crate) fn owner(&self) -> u64 {
        self.kept.record.owner
    }

    /// The blocks that arrived.
    pub(crate) fn runs(&self) -> Runs {
        self.kept.record.runs.clone().with(self.owner(), self.arrived)
    }

    /// The key beside which the blocks lie. It is written down before the first block is, so that they can be found.
    async fn key(&mut self) -> Result<String> {
        if let Some(key) = &self.kept.record.key {
            return Ok(key.clone());
        }
        let key = self.choose_key().await?;
        let record = Record { key: Some(key.clone()), ..self.kept.record.clone() };
        match self.store.write_record(&self.path, record, Some(&self.kept.etag)).await? {
            Some(kept) => self.kept = kept,
            None => return Err(self.check().await.err().unwrap_or_else(Error::fenced)),
        }
        Ok(key)
    }

    /// The target's, where nothing is yet and no other session writes: blocks beside one key share its fate.
    async fn choose_key(&self) -> Result<String> {
        if let Some(target) = &self.target {
            let key = self.store.keys.content(target);
            if self.store.container.head_any(&key).await?.is_none()
                && self.store.hold_target(target, &self.path).await?
            {
                return Ok(key);
            }
        }
        Ok(self.store.data_key(&self.path, self.owner()))
    }
}

impl Parts for OwnBlocks {
    type Place = (String, Id);
    type Part = ();

    fn size(&self) -> u64 {
        self.store.part
    }

    fn transfers(&self) -> &Arc<Semaphore> {
        &self.store.transfers
    }

    async fn next(&mut self) -> Result<(String, Id)> {
        if self.kept.record.runs.len() + u64::from(self.next) >= BLOCKS_MAX - 1 {
            let message = format!("the content needs more than {BLOCKS_MAX} blocks: raise chunksize");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let key = self.key().await?;
        let place = (key, id(self.owner(), self.next));
        self.next += 1;
        Ok(place)
    }

    fn send(&self, (key, id): (String, Id), content: Bytes) -> impl Future<Output = Result<()>> + 'static {
        let store = Arc::clone(&self.store);
        async move { store.container.stage(&key, &id, content).await.map_err(changing) }
    }

    fn arrived(&mut self, (): ()) {
        self.arrived += 1;
    }

    fn persisted(&self) -> u64 {
        (self.kept.record.runs.len() + u64::from(self.arrived)) * self.store.part
    }

    async fn check(&mut self) -> Result<()> {
        self.store.check(&self.path, &self.kept.etag).await
    }
}
