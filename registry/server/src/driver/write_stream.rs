//! [`Outgoing`]: one stream of a write session, from its `open` to its loss. It keeps nothing for another stream.

use storagedriver_proto::Path;
use storagedriver_proto::v1alpha1::write_request::{Flush, Kind, Open};
use storagedriver_proto::v1alpha1::{WriteRequest, WriteResponse};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::channel::Client;
use super::client::DriverClient;
use super::error::Fault;
use super::stream::{Incoming, optional};

/// Dropping it ends the stream, which publishes nothing and loses nothing that was persisted.
pub(super) struct Outgoing {
    requests: mpsc::Sender<WriteRequest>,
    answers: Incoming<WriteResponse>,
    unanswered_flushes: u32,
}

/// What happened first.
pub(super) enum Event {
    /// The stream took the request.
    Accepted,
    Answered(Acknowledgement),
}

pub(super) struct Acknowledgement {
    pub(super) persisted: u64,
    pub(super) flushed: bool,
}

impl Outgoing {
    /// Opens the session at `offset`, by which every older stream of it is fenced.
    pub(super) async fn open(
        client: &DriverClient,
        path: &Path,
        offset: u64,
        target: Option<&Path>,
        deadline: Instant,
    ) -> Result<Self, Fault> {
        let open = Open { path: path.to_string(), offset, target: optional(target) };
        // Room for one message: what waits here is held twice, by the session and by the stream.
        let (requests, receiver) = mpsc::channel(1);
        let open = WriteRequest { kind: Some(Kind::Open(open)) };
        requests.try_send(open).map_err(|_| Fault::unreachable("a new stream takes nothing"))?;
        let write = |mut client: Client, request| async move { client.write(request).await };
        let answers = client.open_stream(deadline, ReceiverStream::new(receiver), write).await?;
        let mut stream = Outgoing { requests, answers, unanswered_flushes: 0 };
        match stream.answer(deadline).await? {
            Acknowledgement { persisted, flushed: false } if persisted == offset => Ok(stream),
            _ => Err(Fault::nonsense(format!("a session opened at {offset} was answered with another offset"))),
        }
    }

    /// Hands `kind` to the stream as soon as its window allows, unless an answer comes first.
    pub(super) async fn offer(&mut self, kind: Kind, deadline: Instant) -> Result<Event, Fault> {
        let answer = tokio::select! {
            biased;
            answer = self.answers.next(deadline) => answer?,
            Ok(place) = self.requests.reserve() => {
                place.send(WriteRequest { kind: Some(kind) });
                return Ok(Event::Accepted);
            }
        };
        self.understand(answer).map(Event::Answered)
    }

    /// Has everything sent so far persisted.
    pub(super) async fn offer_flush(&mut self, deadline: Instant) -> Result<Event, Fault> {
        let event = self.offer(Kind::Flush(Flush {}), deadline).await?;
        if matches!(event, Event::Accepted) {
            self.unanswered_flushes += 1;
        }
        Ok(event)
    }

    pub(super) fn is_flushing(&self) -> bool {
        self.unanswered_flushes > 0
    }

    pub(super) async fn answer(&mut self, deadline: Instant) -> Result<Acknowledgement, Fault> {
        let answer = self.answers.next(deadline).await?;
        self.understand(answer)
    }

    fn understand(&mut self, answer: Option<WriteResponse>) -> Result<Acknowledgement, Fault> {
        // Only Commit ends a session: an end of the stream without an error is a loss of the stream.
        let answer = answer.ok_or_else(|| Fault::unreachable("the driver ended the stream"))?;
        let WriteResponse { persisted, flushed } = answer;
        if flushed {
            let left = self.unanswered_flushes.checked_sub(1);
            self.unanswered_flushes = left.ok_or_else(|| Fault::nonsense("an answer to a flush never sent"))?;
        }
        Ok(Acknowledgement { persisted, flushed })
    }
}
