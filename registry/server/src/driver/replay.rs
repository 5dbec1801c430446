//! [`Replay`]: the bytes of a write session that its driver has not persisted yet, to be sent again when it dies.
//!
//! Pure bookkeeping. It knows no stream: it is told what was sent, persisted and lost.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

#[derive(Debug)]
pub(super) struct Replay {
    /// Everything before this offset is persisted.
    start: u64,
    /// The bytes from `start` on, each piece as it is sent in one message.
    pieces: VecDeque<Bytes>,
    /// How many of the pieces the present stream has been given.
    sent: usize,
    held: u64,
}

/// An acknowledgement of bytes that were never sent, or fewer than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{persisted} bytes persisted, where {start} were before and {sent} were sent")]
pub(super) struct InvalidAcknowledgement {
    persisted: u64,
    start: u64,
    sent: u64,
}

impl Replay {
    pub(super) fn starting_at(offset: u64) -> Self {
        Replay { start: offset, pieces: VecDeque::new(), sent: 0, held: 0 }
    }

    /// Everything before this offset is persisted: where a new stream continues.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Where the next byte goes.
    pub(super) fn end(&self) -> u64 {
        self.start + self.held
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        self.held += piece.len() as u64;
        self.pieces.push_back(piece);
    }

    /// The first piece that the present stream has not been given.
    pub(super) fn unsent(&self) -> Option<Bytes> {
        self.pieces.get(self.sent).cloned()
    }

    pub(super) fn mark_sent(&mut self) {
        self.sent = (self.sent + 1).min(self.pieces.len());
    }

    /// Lets go of everything before `persisted`, and tells how many bytes that were.
    pub(super) fn acknowledge(&mut self, persisted: u64) -> Result<usize, InvalidAcknowledgement> {
        let sent = self.start + self.pieces.iter().take(self.sent).map(|piece| piece.len() as u64).sum::<u64>();
        if persisted < self.start || persisted > sent {
            return Err(InvalidAcknowledgement { persisted, start: self.start, sent });
        }
        let mut left = usize::try_from(persisted - self.start).unwrap_or(usize::MAX);
        let released = left;
        while let Some(piece) = self.pieces.front_mut().filter(|_| left > 0) {
            let part = left.min(piece.len());
            piece.advance(part);
            left -= part;
            if piece.is_empty() {
                self.pieces.pop_front();
                self.sent -= 1;
            }
        }
        self.start = persisted;
        self.held -= released as u64;
        Ok(released)
    }

    /// The stream is lost: whatever is not persisted is to be sent again.
    pub(super) fn rewind(&mut self) {
        self.sent = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A driver that persists what it was sent up to a point, and forgets the rest when it dies.
    #[derive(Default)]
    struct Driver {
        received: Vec<u8>,
        persisted: usize,
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(Vec<u8>),
        Send,
        /// Persist this share, in percent, of what is received and not persisted, and acknowledge it.
        Acknowledge(usize),
        /// The same, but the acknowledgement is lost with the driver.
        Die(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 1..20).prop_map(Step::Write),
            Just(Step::Send),
            (0..=100_usize).prop_map(Step::Acknowledge),
            (0..=100_usize).prop_map(Step::Die),
        ]
    }

    impl Driver {
        fn persist(&mut self, share: usize) {
            self.persisted += (self.received.len() - self.persisted) * share / 100;
        }

        fn take(&mut self, replay: &mut Replay) -> bool {
            let Some(piece) = replay.unsent() else { return false };
            self.received.extend_from_slice(&piece);
            replay.mark_sent();
            true
        }

        /// The session is opened again: what lies beyond the offset is dropped.
        fn reopen(&mut self, replay: &mut Replay) {
            replay.rewind();
            let offset = usize::try_from(replay.start()).unwrap();
            assert!(offset <= self.persisted, "the driver was asked for bytes it does not have");
            self.received.truncate(offset);
            self.persisted = offset;
        }
    }

    proptest! {
        #[test]
        fn any_interleaving_ends_with_exactly_the_bytes_written(steps in prop::collection::vec(step(), 0..100)) {
            let (mut replay, mut driver, mut written) = (Replay::starting_at(0), Driver::default(), Vec::new());
            for step in steps {
                match step {
                    Step::Write(bytes) => {
                        written.extend_from_slice(&bytes);
                        replay.push(bytes.into());
                    }
                    Step::Send => { driver.take(&mut replay); }
                    Step::Acknowledge(share) => {
                        driver.persist(share);
                        replay.acknowledge(driver.persisted as u64).unwrap();
                    }
                    Step::Die(share) => {
                        driver.persist(share);
                        driver.reopen(&mut replay);
                    }
                }
                prop_assert_eq!(replay.end(), written.len() as u64);
                prop_assert_eq!(replay.pieces.iter().map(|piece| piece.len() as u64).sum::<u64>(), replay.held);
            }
            while driver.take(&mut replay) {}
            prop_assert_eq!(driver.received, written);
        }
    }

    #[test]
    fn acknowledgements_that_cannot_be_are_refused() {
        let mut replay = Replay::starting_at(10);
        replay.push(Bytes::from_static(b"abcd"));
        assert!(replay.acknowledge(11).is_err(), "nothing was sent");
        replay.mark_sent();
        assert_eq!(replay.acknowledge(13), Ok(3));
        assert!(replay.acknowledge(12).is_err() && replay.acknowledge(15).is_err());
        replay.rewind();
        assert_eq!((replay.start(), replay.end(), replay.unsent()), (13, 14, Some(Bytes::from_static(b"d"))));
    }
}
