//! [`SessionStream`]: a write session whose bytes go to the driver as a stream, which goes on when the driver dies.
//!
//! Bytes are kept until the driver says that they are persisted. When a stream is lost, another one opens the session
//! at the last persisted offset and is sent what followed. It knows offsets and bytes, not what they mean.

use bytes::Bytes;
use storagedriver_proto::Path;
use storagedriver_proto::limits::CHUNK_PREFERRED;
use storagedriver_proto::v1alpha1::write_request::Kind;

use super::budget::Holding;
use super::client::DriverClient;
use super::error::{DriverError, DriverErrorKind, Fault};
use super::replay::Replay;
use super::retry::{Attempts, Call};
use super::write_stream::{Acknowledgement, Event, Outgoing};

/// How often a commit may find that the driver has lost bytes which it had not persisted.
const COMMIT_ROUNDS: u32 = 8;

pub(crate) struct SessionStream {
    client: DriverClient,
    path: Path,
    target: Option<Path>,
    replay: Replay,
    holding: Holding,
    /// `None`: lost, or not opened yet.
    stream: Option<Outgoing>,
    /// After an error no other stream may be opened: it would fence a newer writer, if there is one.
    ended: Option<DriverErrorKind>,
}

/// What a step is to reach.
#[derive(Debug, Clone, Copy)]
enum Goal {
    Opened,
    /// That many more bytes may be held.
    Room(usize),
    /// The stream has taken everything held.
    Sent,
    /// The driver has persisted everything held, but for what its granularity keeps back.
    Flushed,
}

impl DriverClient {
    /// Opens the write session `staging` as a stream.
    pub(super) async fn open_session_stream(
        &self,
        staging: &Path,
        offset: u64,
        target: Option<&Path>,
    ) -> Result<SessionStream, DriverError> {
        let mut session = SessionStream {
            client: self.clone(),
            path: staging.clone(),
            target: target.cloned(),
            replay: Replay::starting_at(offset),
            holding: self.replay_budget().session(self.capabilities().granularity),
            stream: None,
            ended: None,
        };
        session.reach(Goal::Opened).await?;
        Ok(session)
    }
}

impl SessionStream {
    /// Where the next byte goes.
    pub(super) fn written(&self) -> u64 {
        self.replay.end()
    }

    /// Appends `data`. Waits while the driver takes no more, and while all sessions together hold too much.
    pub(super) async fn write(&mut self, mut data: Bytes) -> Result<(), DriverError> {
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(CHUNK_PREFERRED));
            if !self.holding.try_grow(piece.len()) {
                self.reach(Goal::Room(piece.len())).await?;
            }
            self.replay.push(piece);
            self.reach(Goal::Sent).await?;
        }
        Ok(())
    }

    /// Has everything written persisted, and tells the offset up to which it is: all of it, rounded down to the
    /// granularity of the driver.
    pub(super) async fn flush(&mut self) -> Result<u64, DriverError> {
        self.reach(Goal::Flushed).await?;
        Ok(self.replay.start())
    }

    /// Publishes everything written at `target` in one step, and ends the session.
    pub(super) async fn commit(mut self, target: &Path) -> Result<(), DriverError> {
        let mut rounds = 0;
        loop {
            // The stream stays open over the commit: with it the driver keeps what its granularity could not persist.
            self.flush().await?;
            match self.client.commit(&self.path, target, self.written()).await {
                Err(error) if is_offset_invalid(&error) && rounds < COMMIT_ROUNDS => rounds += 1,
                outcome => return outcome,
            }
            self.stream = None;
        }
    }

    async fn reach(&mut self, goal: Goal) -> Result<(), DriverError> {
        let mut attempts = Attempts::within(Call::WRITE.deadline);
        loop {
            let outcome = self.step(goal, &mut attempts).await;
            let settled = self.client.settle(Call::WRITE, &self.path, &mut attempts, outcome).await;
            if let Some(reached) = settled.inspect_err(|error| self.ended = Some(error.kind()))? {
                return Ok(reached);
            }
        }
    }

    /// The stream is back in its place only after success: with an error, or when we are cancelled, it is lost.
    async fn step(&mut self, goal: Goal, attempts: &mut Attempts) -> Result<(), Fault> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open(attempts).await?,
        };
        match goal {
            Goal::Opened => {}
            Goal::Room(bytes) => self.make_room(bytes, &mut stream, attempts).await?,
            Goal::Sent => self.send_all(&mut stream, attempts).await?,
            Goal::Flushed => self.flush_all(&mut stream, attempts).await?,
        }
        self.stream = Some(stream);
        Ok(())
    }

    async fn open(&mut self, attempts: &Attempts) -> Result<Outgoing, Fault> {
        if let Some(kind) = self.ended {
            return Err(Fault::found(kind, "the write session has failed before"));
        }
        self.replay.rewind();
        let (offset, target) = (self.replay.start(), self.target.as_ref());
        Outgoing::open(&self.client, &self.path, offset, target, attempts.deadline()).await
    }

    async fn send_all(&mut self, stream: &mut Outgoing, attempts: &mut Attempts) -> Result<(), Fault> {
        while let Some(piece) = self.replay.unsent() {
            match stream.offer(Kind::Data(piece), attempts.deadline()).await? {
                Event::Accepted => self.replay.mark_sent(),
                Event::Answered(answer) => self.acknowledge(&answer, attempts)?,
            }
        }
        Ok(())
    }

    async fn flush_all(&mut self, stream: &mut Outgoing, attempts: &mut Attempts) -> Result<(), Fault> {
        self.send_all(stream, attempts).await?;
        self.send_flush(stream, attempts).await?;
        while stream.is_flushing() {
            let answer = stream.answer(attempts.deadline()).await?;
            self.acknowledge(&answer, attempts)?;
        }
        let kept_back = self.replay.end() - self.replay.start();
        if kept_back >= self.client.capabilities().granularity {
            return Err(Fault::nonsense(format!("a flush left {kept_back} bytes that were not persisted")));
        }
        Ok(())
    }

    async fn send_flush(&mut self, stream: &mut Outgoing, attempts: &mut Attempts) -> Result<(), Fault> {
        while let Event::Answered(answer) = stream.offer_flush(attempts.deadline()).await? {
            self.acknowledge(&answer, attempts)?;
        }
        Ok(())
    }

    /// With nothing left of the common budget a flush makes the driver acknowledge what this session holds, and its
    /// own allowance is enough from then on.
    async fn make_room(&mut self, bytes: usize, stream: &mut Outgoing, attempts: &mut Attempts) -> Result<(), Fault> {
        self.send_all(stream, attempts).await?;
        while !self.holding.try_grow(bytes) {
            if !stream.is_flushing() {
                self.send_flush(stream, attempts).await?;
            }
            tokio::select! {
                () = self.holding.wait_to_grow(bytes) => {}
                answer = stream.answer(attempts.deadline()) => self.acknowledge(&answer?, attempts)?,
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, answer: &Acknowledgement, attempts: &mut Attempts) -> Result<(), Fault> {
        let released = self.replay.acknowledge(answer.persisted);
        let released = released.map_err(|problem| Fault::nonsense(problem.to_string()))?;
        self.holding.shrink(released);
        if released > 0 || answer.flushed {
            attempts.progressed();
        }
        Ok(())
    }
}

fn is_offset_invalid(error: &DriverError) -> bool {
    matches!(error.kind(), DriverErrorKind::OffsetInvalid { .. })
}
