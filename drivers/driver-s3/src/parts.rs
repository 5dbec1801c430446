//! The arithmetic of parts: how large they are, and which of an upload make up a session.

use std::ops::Range;

use driver_kit::limits::GRANULARITY_MAX;
use driver_kit::{Result, invalid};
use serde::{Deserialize, Serialize};

/// Smallest part but the last.
pub(crate) const PART_MIN: u64 = 5 << 20;
/// Largest part, and largest object that is copied in one request.
pub(crate) const COPY_MAX: u64 = 5 << 30;
/// Parts of one upload are numbered from 1 to this.
pub(crate) const NUMBER_MAX: u32 = 10_000;

/// The size of the parts for a `chunksize`. Larger ones than the contract allows are taken as the largest.
pub(crate) fn part_size(chunk: u64) -> Result<u64> {
    if !(PART_MIN..=COPY_MAX).contains(&chunk) {
        return Err(invalid("chunksize", &format!("must be from {PART_MIN} to {COPY_MAX} bytes")));
    }
    Ok(chunk.min(GRANULARITY_MAX))
}

/// The ranges in which an object of `size` bytes is copied, none larger than a request may copy, and no more of them than
/// an upload may have parts.
pub(crate) fn copy_ranges(size: u64, wanted: u64) -> impl Iterator<Item = Range<u64>> {
    let least = size.div_ceil(u64::from(NUMBER_MAX));
    let step = wanted.max(least.next_multiple_of(1 << 20)).min(COPY_MAX);
    (0..size.div_ceil(step)).map(move |index| index * step..((index + 1) * step).min(size))
}

/// A part of an upload that holds bytes of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub(crate) number: u32,
    pub(crate) etag: String,
}

/// Numbers of parts in the order of their bytes, written shortly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbers(Vec<(u32, u32)>);

impl Numbers {
    /// Those of `parts`.
    pub(crate) fn of(parts: &[Part]) -> Self {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for Part { number, .. } in parts {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == *number => *last = *number,
                _ => runs.push((*number, *number)),
            }
        }
        Numbers(runs)
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;
    const TIB: u64 = 1 << 40;

    #[test]
    fn a_chunk_size_is_one_that_bucket_and_contract_take() {
        assert_eq!(part_size(PART_MIN).unwrap(), PART_MIN);
        assert_eq!(part_size(5 * GIB).unwrap(), GRANULARITY_MAX);
        assert!(part_size(PART_MIN - 1).is_err() && part_size(5 * GIB + 1).is_err());
    }

    #[test]
    fn every_object_up_to_the_largest_can_be_copied() {
        for size in
            [0, 1, PART_MIN, 5 * GIB, 5 * GIB + 1, 320 * GIB, TIB, 5 * TIB, 48 * TIB, u64::from(NUMBER_MAX) * COPY_MAX]
        {
            for wanted in [PART_MIN, 32 << 20, COPY_MAX] {
                let ranges: Vec<_> = copy_ranges(size, wanted).collect();
                assert!(ranges.len() <= NUMBER_MAX as usize, "{size} in {}", ranges.len());
                assert_eq!(ranges.iter().map(|range| range.end - range.start).sum::<u64>(), size);
                assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
                let (last, others) = ranges.split_last().map_or((None, &[][..]), |(last, others)| (Some(last), others));
                assert!(others.iter().all(|range| (PART_MIN..=COPY_MAX).contains(&(range.end - range.start))));
                assert!(last.is_none_or(|range| range.end - range.start <= COPY_MAX));
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_are_those_they_were_made_of(steps in proptest::collection::vec(1..4u32, 0..60)) {
            let mut number = 0;
            let parts: Vec<Part> = steps.iter().map(|step| {
                number += step;
                Part { number, etag: String::new() }
            }).collect();
            let wanted: Vec<u32> = parts.iter().map(|part| part.number).collect();
            prop_assert_eq!(Numbers::of(&parts).iter().collect::<Vec<_>>(), wanted);
        }
    }
}
