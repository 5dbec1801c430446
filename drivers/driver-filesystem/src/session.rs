//! [`Session`]: the kit's side of a write session. It gathers small pieces, and waits for the file system in the pool.

use std::mem;
use std::sync::Arc;

use driver_kit::limits::CHUNK_PREFERRED;
use driver_kit::{Bytes, Result, WriteSession};
use tokio::sync::OwnedSemaphorePermit;

use crate::pool::Pool;
use crate::staged::Staged;

/// An open write session.
pub struct Session {
    staged: Arc<Staged>,
    pool: Pool,
    persisted: u64,
    /// Taken and not written yet: at most one piece more than is worth a system call.
    pending: Vec<Bytes>,
    pending_bytes: usize,
    _permit: OwnedSemaphorePermit,
}

impl Session {
    pub(crate) fn new(staged: Staged, offset: u64, pool: Pool, permit: OwnedSemaphorePermit) -> Self {
        let staged = Arc::new(staged);
        Session { staged, pool, persisted: offset, pending: Vec::new(), pending_bytes: 0, _permit: permit }
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.pending.is_empty() && self.staged.is_synced()
    }

    /// Writes what is pending, and then does what the caller wants to see done in the same visit to the pool.
    async fn write_pending(&mut self, then: impl FnOnce(&Staged) -> Result<()> + Send + 'static) -> Result<()> {
        // The pieces stay pending until they are written: who calls again after a failure loses none.
        let (staged, offset, pieces) = (Arc::clone(&self.staged), self.persisted, self.pending.clone());
        let written = move || {
            staged.write(offset, &pieces)?;
            then(&staged)
        };
        self.pool.run(move |_| written()).await?;
        self.persisted += mem::take(&mut self.pending_bytes) as u64;
        self.pending.clear();
        Ok(())
    }
}

impl WriteSession for Session {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.pending_bytes += data.len();
        self.pending.push(data);
        if self.pending_bytes >= CHUNK_PREFERRED { self.write_pending(|_| Ok(())).await } else { Ok(()) }
    }

    fn persisted(&self) -> u64 {
        self.persisted
    }

    async fn flush(&mut self) -> Result<u64> {
        self.write_pending(Staged::sync).await?;
        Ok(self.persisted)
    }
}
