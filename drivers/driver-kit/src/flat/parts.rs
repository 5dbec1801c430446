//! [`Gathered`]: a write session of a store that takes parts of one size, several at once. It gathers bytes into parts, sends
//! them, and counts those that arrived without a gap.
//!
//! It must not know where a part goes, nor whose the session is: that is for [`Parts`].

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use crate::driver::WriteSession;
use crate::error::{Error, ErrorKind, Result};

/// Parts of one session that are on their way at once.
const FLIGHTS_MAX: usize = 4;

/// The parts of one session in one store.
pub trait Parts: Send + 'static {
    /// Where one part goes.
    type Place: Clone + Send;
    /// What is known of a part that arrived.
    type Part: Send + 'static;

    /// The bytes of each part.
    fn size(&self) -> u64;

    /// One permit for each part that may be on its way, over all sessions.
    fn transfers(&self) -> &Arc<Semaphore>;

    /// The place for one more part, which no other part has.
    fn next(&mut self) -> impl Future<Output = Result<Self::Place>> + Send;

    /// Sends a part; again to the same place when that failed.
    fn send(&self, place: Self::Place, content: Bytes) -> impl Future<Output = Result<Self::Part>> + Send + 'static;

    /// Takes note of a part that arrived, as have all before it.
    fn arrived(&mut self, part: Self::Part);

    /// The bytes of all parts that arrived.
    fn persisted(&self) -> u64;

    /// Fails when the session is somebody else's by now, or nobody's.
    fn check(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// What to tell of a part that did not arrive: with `Continue` it is sent again, with `Break` that is of no use.
    fn lost(&mut self, error: Error) -> impl Future<Output = ControlFlow<Error, Error>> + Send {
        async { ControlFlow::Continue(error) }
    }
}

/// An open write session.
pub struct Gathered<P: Parts> {
    parts: P,
    flights: VecDeque<Flight<P>>,
    /// Bytes too few for a part.
    tail: BytesMut,
    /// Something was written since it was last seen that the session is still ours.
    is_unchecked: bool,
}

/// A part on its way. Its bytes are kept until it arrived, so that a failure loses none.
struct Flight<P: Parts> {
    place: P::Place,
    content: Bytes,
    task: Task<P>,
}

type Task<P> = AbortOnDropHandle<Result<<P as Parts>::Part>>;

impl<P: Parts> Gathered<P> {
    /// A session of which `parts` says what there is.
    pub fn new(parts: P) -> Self {
        Gathered { parts, flights: VecDeque::new(), tail: BytesMut::new(), is_unchecked: false }
    }

    /// What is known of the parts that arrived; after a flush those are all.
    pub fn parts(&self) -> &P {
        &self.parts
    }

    /// The same, to add one that this session does not gather.
    pub fn parts_mut(&mut self) -> &mut P {
        &mut self.parts
    }

    /// What is too little for a part.
    pub fn tail(&self) -> Bytes {
        Bytes::copy_from_slice(&self.tail)
    }

    /// Nothing is waited for between taking the bytes and noting them as on their way: who stops waiting loses none.
    async fn send_part(&mut self) -> Result<()> {
        while self.flights.len() >= FLIGHTS_MAX {
            self.land().await?;
        }
        let room = room(self.parts.transfers().clone()).await?;
        let place = self.parts.next().await?;
        let content = self.tail.split_to(self.size()).freeze();
        let task = self.take_off(room, place.clone(), content.clone());
        self.flights.push_back(Flight { place, content, task });
        Ok(())
    }

    fn take_off(&self, room: OwnedSemaphorePermit, place: P::Place, content: Bytes) -> Task<P> {
        let sending = self.parts.send(place, content);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let _room = room;
            sending.await
        }))
    }

    /// Waits for the oldest part on its way. One that failed is sent again where that is of use, and the failure told.
    async fn land(&mut self) -> Result<()> {
        let Some(flight) = self.flights.front_mut() else { return Ok(()) };
        let landed = (&mut flight.task).await.unwrap_or_else(|gone| Err(interrupted().with_source(gone)));
        match landed {
            Ok(part) => {
                self.flights.pop_front();
                self.parts.arrived(part);
                Ok(())
            }
            Err(error) => match self.parts.lost(error).await {
                ControlFlow::Break(error) => Err(error),
                ControlFlow::Continue(error) => self.send_again().await.and(Err(error)),
            },
        }
    }

    async fn send_again(&mut self) -> Result<()> {
        let room = room(self.parts.transfers().clone()).await?;
        let Some(Flight { place, content, .. }) = self.flights.front() else { return Ok(()) };
        let task = self.take_off(room, place.clone(), content.clone());
        if let Some(flight) = self.flights.front_mut() {
            flight.task = task;
        }
        Ok(())
    }

    /// Takes note of what arrived meanwhile.
    fn look(&mut self) {
        while let Some(flight) = self.flights.front_mut().filter(|flight| flight.task.is_finished()) {
            let failure = match (&mut flight.task).now_or_never() {
                Some(Ok(Ok(part))) => {
                    self.flights.pop_front();
                    self.parts.arrived(part);
                    continue;
                }
                Some(Ok(Err(error))) => error,
                Some(Err(gone)) => interrupted().with_source(gone),
                None => return,
            };
            // It is told by whoever waits for the part; its task has ended and tells it no second time.
            flight.task = AbortOnDropHandle::new(tokio::spawn(async { Err(failure) }));
            return;
        }
    }

    fn size(&self) -> usize {
        usize::try_from(self.parts.size()).unwrap_or(usize::MAX)
    }
}

impl<P: Parts> WriteSession for Gathered<P> {
    async fn write(&mut self, mut data: Bytes) -> Result<()> {
        self.is_unchecked = true;
        while !data.is_empty() {
            if self.tail.capacity() == 0 {
                // Only the pages that are written to take memory.
                self.tail.reserve(self.size());
            }
            let fits = data.len().min(self.size() - self.tail.len());
            self.tail.extend_from_slice(&data.split_to(fits));
            if self.tail.len() == self.size() {
                self.send_part().await?;
            }
        }
        self.look();
        Ok(())
    }

    fn persisted(&self) -> u64 {
        self.parts.persisted()
    }

    async fn flush(&mut self) -> Result<u64> {
        if self.tail.len() == self.size() {
            self.send_part().await?;
        }
        while !self.flights.is_empty() {
            self.land().await?;
        }
        if self.is_unchecked {
            self.parts.check().await?;
            self.is_unchecked = false;
        }
        Ok(self.persisted())
    }
}

/// Waits until there is room for one more part among those of all sessions.
async fn room(transfers: Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    transfers.acquire_owned().await.map_err(|closed| interrupted().with_source(closed))
}

fn interrupted() -> Error {
    Error::new(ErrorKind::Unavailable { may_have_happened: true }, "a part was not sent to its end")
}
