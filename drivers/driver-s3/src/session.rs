//! [`Session`]: an open write session. It gathers parts, sends several at once, and counts those that arrived in order.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use driver_kit::{Error, ErrorKind, Path, Result, WriteSession};
use futures::FutureExt;
use tokio_util::task::AbortOnDropHandle;

use crate::opening::{Claimed, Staged};
use crate::parts::{NUMBER_MAX, Part};
use crate::records::{Lease, Name};
use crate::store::Store;
use crate::uploads::Upload;

/// Parts of one session that are on their way at once.
const FLIGHTS_MAX: usize = 4;
/// Numbers that are leased at a time: few at first, since those that stay unused are lost to the session.
const LEASE_MIN: u32 = 4;
const LEASE_MAX: u32 = 64;

/// An open write session.
pub struct Session {
    store: Arc<Store>,
    path: Path,
    name: Name,
    /// Where an upload begins, when the first part is there.
    key: String,
    upload: Option<Upload>,
    /// Those that arrived, without a gap.
    parts: Vec<Part>,
    flights: VecDeque<Flight>,
    /// The number of the next part, and the last one that may be used.
    next: u32,
    until: u32,
    /// Bytes too few for a part.
    tail: BytesMut,
    /// Something was written since it was last seen that the session is still ours.
    is_unchecked: bool,
}

/// A part on its way. Its bytes are kept until it arrived, so that a failure loses none.
struct Flight {
    number: u32,
    content: Bytes,
    task: AbortOnDropHandle<Result<Part>>,
}

impl Session {
    pub(crate) fn new(store: Arc<Store>, path: Path, claimed: Claimed, key: String) -> Self {
        let Claimed { name, upload, parts, first } = claimed;
        Session {
            store,
            path,
            name,
            key,
            upload,
            parts,
            flights: VecDeque::new(),
            next: first,
            until: first - 1,
            tail: BytesMut::new(),
            is_unchecked: false,
        }
    }

    pub(crate) fn name(&self) -> Name {
        self.name
    }

    /// As the store has it, with what is too little for a part. Only what was flushed is in it.
    pub(crate) fn staged(&self) -> (Staged, Bytes) {
        let (upload, parts) = (self.upload.clone(), self.parts.clone());
        let staged = Staged { upload, parts, part: self.store.part, until: self.until, is_over: false };
        (staged, Bytes::copy_from_slice(&self.tail))
    }

    /// Uploads what is too little for a part as the last one of a Commit. Its number is used again should that fail.
    pub(crate) async fn send_tail(&mut self) -> Result<Part> {
        let upload = self.ready_to_send().await?;
        let content = Bytes::copy_from_slice(&self.tail);
        self.store.bucket.upload_part(&upload, self.next, content).await
    }

    async fn send_part(&mut self) -> Result<()> {
        while self.flights.len() >= FLIGHTS_MAX {
            self.land().await?;
        }
        let upload = self.ready_to_send().await?;
        let content = self.tail.split_to(self.part()).freeze();
        let number = self.next;
        let task = self.take_off(upload, number, content.clone()).await?;
        self.next += 1;
        self.flights.push_back(Flight { number, content, task });
        Ok(())
    }

    /// Starts sending once there is room for one more part among those of all sessions.
    async fn take_off(&self, upload: Upload, number: u32, content: Bytes) -> Result<AbortOnDropHandle<Result<Part>>> {
        let permit = Arc::clone(&self.store.transfers).acquire_owned().await;
        let permit = permit.map_err(|closed| interrupted().with_source(closed))?;
        let store = Arc::clone(&self.store);
        Ok(AbortOnDropHandle::new(tokio::spawn(async move {
            let _permit = permit;
            store.bucket.upload_part(&upload, number, content).await
        })))
    }

    /// Waits for the oldest part on its way. One that failed is sent again, and the failure told.
    async fn land(&mut self) -> Result<()> {
        let Some(flight) = self.flights.front_mut() else { return Ok(()) };
        let landed = (&mut flight.task).await.unwrap_or_else(|gone| Err(interrupted().with_source(gone)));
        match (landed, self.upload.clone()) {
            (Ok(part), _) => {
                self.flights.pop_front();
                self.parts.push(part);
                Ok(())
            }
            (Err(error), Some(upload)) if error.kind() != ErrorKind::NotFound => {
                let (number, content) = (flight.number, flight.content.clone());
                let task = self.take_off(upload, number, content).await?;
                if let Some(flight) = self.flights.front_mut() {
                    flight.task = task;
                }
                Err(error)
            }
            // The upload was completed or aborted: the session is somebody else's now, or nobody's.
            (Err(error), _) => Err(self.store.records(&self.path).await?.check(self.name).err().unwrap_or(error)),
        }
    }

    /// Takes note of what arrived meanwhile.
    fn look(&mut self) {
        while let Some(flight) = self.flights.front_mut().filter(|flight| flight.task.is_finished()) {
            match (&mut flight.task).now_or_never() {
                Some(Ok(Ok(part))) => {
                    self.parts.push(part);
                    self.flights.pop_front();
                }
                // A failure is told by whoever waits for the part; its task has ended and tells it no second time.
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

    /// The upload, begun and with a number for the next part that no other process uses.
    async fn ready_to_send(&mut self) -> Result<Upload> {
        match &self.upload {
            Some(upload) if self.next <= self.until => Ok(upload.clone()),
            Some(upload) => {
                let upload = upload.clone();
                self.lease(&upload).await.map(|()| upload)
            }
            None => {
                let upload = self.store.bucket.begin_upload(&self.key).await?;
                if let Err(error) = self.lease(&upload).await {
                    self.store.bucket.abort(&upload).await?;
                    return Err(error);
                }
                self.upload = Some(upload.clone());
                Ok(upload)
            }
        }
    }

    /// Announces which numbers are used next, and looks afterwards whether the session is still ours. Who opens it looks at
    /// the lease after announcing that, so one of two sees the other.
    async fn lease(&mut self, upload: &Upload) -> Result<()> {
        if self.next > NUMBER_MAX {
            let message = format!("the content needs more than {NUMBER_MAX} parts: raise chunksize");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let wanted = u32::try_from(self.parts.len()).unwrap_or(LEASE_MAX).clamp(LEASE_MIN, LEASE_MAX);
        let until = (self.next + wanted - 1).min(NUMBER_MAX);
        self.store.put_lease(&self.path, self.name, &Lease { upload: upload.clone(), until }).await?;
        if let Err(error) = self.check().await {
            self.store.bucket.delete(&self.store.lease_key(&self.path, self.name)).await?;
            return Err(error);
        }
        self.until = until;
        Ok(())
    }

    async fn check(&mut self) -> Result<()> {
        self.store.records(&self.path).await?.check(self.name)?;
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
                self.send_part().await?;
            }
        }
        self.look();
        Ok(())
    }

    fn persisted(&self) -> u64 {
        self.parts.len() as u64 * self.store.part
    }

    async fn flush(&mut self) -> Result<u64> {
        if self.tail.len() == self.part() {
            self.send_part().await?;
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
    Error::new(ErrorKind::Unavailable { may_have_happened: true }, "the part was not sent to its end")
}
