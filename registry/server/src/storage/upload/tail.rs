//! [`Tail`]: the last bytes of an upload, which a driver with a granularity does not persist yet.
//!
//! It knows numbers and bytes, and no driver.

use std::collections::VecDeque;

use bytes::Bytes;

/// Keeps what a flush may leave behind: at least everything after the last multiple of the granularity.
pub(super) struct Tail {
    granularity: u64,
    /// Where the pieces begin and end in the upload.
    start: u64,
    end: u64,
    pieces: VecDeque<Bytes>,
}

impl Tail {
    /// Of an upload whose first `offset` bytes, a multiple of the granularity, are persisted.
    pub(super) fn new(granularity: u64, offset: u64) -> Self {
        Tail { granularity, start: offset, end: offset, pieces: VecDeque::new() }
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        self.end += piece.len() as u64;
        self.pieces.push_back(piece);
        let kept_from = self.end - self.end % self.granularity;
        while let Some(first) = self.pieces.pop_front_if(|first| self.start + first.len() as u64 <= kept_from) {
            self.start += first.len() as u64;
        }
    }

    /// The bytes from `persisted` to the end; `None` when they are no longer kept.
    pub(super) fn since(&self, persisted: u64) -> Option<Vec<Bytes>> {
        let mut skip = persisted.checked_sub(self.start).filter(|_| persisted <= self.end)?;
        let rest = self.pieces.iter().filter_map(|piece| {
            let cut = skip.min(piece.len() as u64);
            skip -= cut;
            Some(piece.slice(cut as usize..)).filter(|rest| !rest.is_empty())
        });
        Some(rest.collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_nothing_when_every_offset_can_be_persisted() {
        let mut tail = Tail::new(1, 0);
        tail.push(Bytes::from_static(b"abc"));
        assert!(tail.pieces.is_empty());
        assert_eq!(tail.since(3), Some(vec![]));
        assert_eq!(tail.since(2), None);
        assert_eq!(tail.since(4), None);
    }

    proptest! {
        #[test]
        fn has_what_a_flush_leaves_behind(granularity in 1..20_u64, pieces in prop::collection::vec(0..30_usize, 0..20)) {
            let mut tail = Tail::new(granularity, 2 * granularity);
            let mut all = vec![0; 2 * granularity as usize];
            for length in pieces {
                let piece: Vec<u8> = (0..length).map(|_| all.len() as u8).collect();
                all.extend_from_slice(&piece);
                tail.push(piece.into());
                let persisted = all.len() as u64 / granularity * granularity;
                prop_assert_eq!(tail.since(persisted).unwrap().concat(), &all[persisted as usize..]);
                prop_assert!(tail.pieces.iter().skip(1).map(Bytes::len).sum::<usize>() < granularity as usize);
            }
        }
    }
}
