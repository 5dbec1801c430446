//! [`Session`]: an open write session. It gathers blocks, sends several at once, and counts those that arrived in order.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use driver_kit::{Error, ErrorKind, Path, Result, WriteSession};
use futures::FutureExt;
use tokio_util::task::AbortOnDropHandle;

use crate::blocks::{BLOCKS_MAX, Runs, id};
use crate::error::{changing, fenced};
use crate::records::{Kept, Record};
use crate::store::Store;

/// Blocks of one session that are on their way at once.
const FLIGHTS_MAX: usize = 4;

/// An open write session.
pub struct Session {
    store: Arc<Store>,
    path: Path,
    kept: Kept,
    target: Option<Path>,
    flights: VecDeque<Flight>,
    /// Own blocks that arrived, without a gap.
    arrived: u32,
    /// The number of the next block.
    next: u32,
    /// Bytes too few for a block.
    tail: BytesMut,
    /// Something was written since it was last seen that the session is still ours.
    is_unchecked: bool,
}

/// A block on its way. Its bytes are kept until it arrived, so that a failure loses none.
struct Flight {
    number: u32,
    content: Bytes,
    task: AbortOnDropHandle<Result<()>>,
}

impl Session {
    pub(crate) fn new(store: Arc<Store>, path: Path, kept: Kept, target: Option<Path>) -> Self {
        let (flights, tail) = (VecDeque::new(), BytesMut::new());
        Session { store, path, kept, target, flights, arrived: 0, next: 0, tail, is_unchecked: false }
    }

    pub(crate) fn owner(&self) -> u64 {
        self.kept.record.owner
    }

    /// The blocks that arrived, and what is too little for one.
    pub(crate) fn staged(&self) -> (Runs, Bytes) {
        let runs = self.kept.record.runs.clone().with(self.owner(), self.arrived);
        (runs, Bytes::copy_from_slice(&self.tail))
    }

    async fn send_block(&mut self) -> Result<()> {
        while self.flights.len() >= FLIGHTS_MAX {
            self.land().await?;
        }
        if self.kept.record.runs.len() + u64::from(self.next) >= BLOCKS_MAX - 1 {
            let message = format!("the content needs more than {BLOCKS_MAX} blocks: raise chunksize");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let key = self.key().await?;
        let content = self.tail.split_to(self.part()).freeze();
        let number = self.next;
        let task = self.take_off(key, number, content.clone()).await?;
        self.next += 1;
        self.flights.push_back(Flight { number, content, task });
        Ok(())
    }

    /// Starts sending once there is room for one more block among those of all sessions.
    async fn take_off(&self, key: String, number: u32, content: Bytes) -> Result<AbortOnDropHandle<Result<()>>> {
        let permit = Arc::clone(&self.store.transfers).acquire_owned().await;
        let permit = permit.map_err(|closed| interrupted().with_source(closed))?;
        let (store, id) = (Arc::clone(&self.store), id(self.owner(), number));
        Ok(AbortOnDropHandle::new(tokio::spawn(async move {
            let _permit = permit;
            store.container.stage(&key, &id, content).await.map_err(changing)
        })))
    }

    /// Waits for the oldest block on its way. One that failed is sent again, and the failure told.
    async fn land(&mut self) -> Result<()> {
        let Some(flight) = self.flights.front_mut() else { return Ok(()) };
        let landed = (&mut flight.task).await.unwrap_or_else(|gone| Err(interrupted().with_source(gone)));
        let Err(error) = landed else {
            self.flights.pop_front();
            self.arrived += 1;
            return Ok(());
        };
        let (number, content) = (flight.number, flight.content.clone());
        let key = self.key().await?;
        let task = self.take_off(key, number, content).await?;
        if let Some(flight) = self.flights.front_mut() {
            flight.task = task;
        }
        Err(error)
    }

    /// Takes note of what arrived meanwhile.
    fn look(&mut self) {
        while let Some(flight) = self.flights.front_mut().filter(|flight| flight.task.is_finished()) {
            match (&mut flight.task).now_or_never() {
                Some(Ok(Ok(()))) => {
                    self.arrived += 1;
                    self.flights.pop_front();
                }
                // A failure is told by whoever waits for the block; its task has ended and tells it no second time.
                Some(Ok(Err(error))) => {
                    flight.task = AbortOnDropHandle::new(tokio::spawn(async { Err(error) }));
                    return;
                }
                Some(Err(gone)) => {
                    flight.task = AbortOnDropHandle::new(tokio::spawn(async { Err(interrupted().with_source(gone)) }));
                    return;
                }
                None => return,
            }
        }
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
            None => return Err(self.store.check(&self.path, &self.kept.etag).await.err().unwrap_or_else(fenced)),
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

    async fn check(&mut self) -> Result<()> {
        self.store.check(&self.path, &self.kept.etag).await?;
        self.is_unchecked = false;
        Ok(())
    }

    fn part(&self) -> usize {
        usize::try_from(self.store.part).unwrap_or(usize::MAX)
    }
}

impl WriteSession for Session {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.is_unchecked = true;
        let mut data = data;
        while !data.is_empty() {
            if self.tail.capacity() == 0 {
                // Only the pages that are written to take memory.
                self.tail.reserve(self.part());
            }
            let fits = data.len().min(self.part() - self.tail.len());
            self.tail.extend_from_slice(&data.split_to(fits));
            if self.tail.len() == self.part() {
                self.send_block().await?;
            }
        }
        self.look();
        Ok(())
    }

    fn persisted(&self) -> u64 {
        (self.kept.record.runs.len() + u64::from(self.arrived)) * self.store.part
    }

    async fn flush(&mut self) -> Result<u64> {
        if self.tail.len() == self.part() {
            self.send_block().await?;
        }
        while !self.flights.is_empty() {
            self.land().await?;
        }
        if self.is_unchecked {
            self.check().await?;
        }
        Ok(self.persisted())
    }
}

fn interrupted() -> Error {
    Error::new(ErrorKind::Unavailable { may_have_happened: true }, "the block was not sent to its end")
}
