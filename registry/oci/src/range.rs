//! The two kinds of ranges: [`ContentRange`] says where a pushed chunk belongs, `Range` what a pull asks for.

use std::ops::RangeInclusive;

/// More ranges than any client was seen to ask for at once.
const RANGES_MAX: usize = 1024;

/// Where a chunk lies in its blob: from the first byte to the last, both within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    pub first: u64,
    pub last: u64,
}

/// The text is not a [`ContentRange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Content-Range of a chunk is FIRST-LAST, the positions of its first and last byte")]
pub struct InvalidContentRange;

impl ContentRange {
    /// How many bytes the chunk has: at least one.
    pub fn length(self) -> u64 {
        self.last - self.first + 1
    }
}

/// Reads the `Content-Range` of a chunk, which the specification writes without a unit.
pub fn parse_content_range(text: &str) -> Result<ContentRange, InvalidContentRange> {
    let (first, last) = text.split_once('-').ok_or(InvalidContentRange)?;
    match (position(first), position(last)) {
        (Some(first), Some(last)) if first <= last && last < u64::MAX => Ok(ContentRange { first, last }),
        _ => Err(InvalidContentRange),
    }
}

/// What to send for a `Range` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// Everything, as though the header were not there.
    Whole,
    /// These parts, in the order asked for; never none, each within the content.
    Satisfiable(Vec<RangeInclusive<u64>>),
    /// None of what was asked for exists.
    Unsatisfiable,
}

/// Reads a `Range` header for content of `size` bytes, as RFC 9110 section 14 has it.
///
/// Another unit than bytes is ignored, as the RFC demands. Where it leaves a choice: a malformed set is unsatisfiable,
/// since a client that means some range is better told than sent everything; too many ranges, or ranges that
/// overlap so much that they cost more than twice the content, get the content once.
pub fn parse_ranges(header: &str, size: u64) -> Ranges {
    let Some((unit, set)) = header.split_once('=') else { return Ranges::Whole };
    if !unit.eq_ignore_ascii_case("bytes") || size == 0 {
        return Ranges::Whole;
    }
    let specs: Vec<_> = set.split(',').map(trim).filter(|spec| !spec.is_empty()).take(RANGES_MAX + 1).collect();
    if specs.len() > RANGES_MAX {
        return Ranges::Whole;
    }
    let Some(specs) = specs.into_iter().map(Spec::parse).collect::<Option<Vec<_>>>() else {
        return Ranges::Unsatisfiable;
    };
    bounded(specs.into_iter().filter_map(|spec| spec.within(size)).collect(), size)
}

fn bounded(ranges: Vec<RangeInclusive<u64>>, size: u64) -> Ranges {
    let total: u128 = ranges.iter().map(|range| u128::from(range.end() - range.start()) + 1).sum();
    match total {
        0 => Ranges::Unsatisfiable,
        _ if total > 2 * u128::from(size) => Ranges::Whole,
        _ => Ranges::Satisfiable(ranges),
    }
}

/// One range as it is asked for, before the size is known.
enum Spec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl Spec {
    fn parse(text: &str) -> Option<Spec> {
        match text.split_once('-')? {
            ("", length) => position(length).map(Spec::Last),
            (first, "") => position(first).map(Spec::From),
            (first, last) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then_some(Spec::Between(first, last))
            }
        }
    }

    /// The part of it that content of `size` bytes has; `size` is not 0.
    fn within(self, size: u64) -> Option<RangeInclusive<u64>> {
        let end = size - 1;
        let range = match self {
            Spec::From(first) => first..=end,
            Spec::Between(first, last) => first..=last.min(end),
            Spec::Last(length) => size.saturating_sub(length)..=end,
        };
        (!range.is_empty()).then_some(range)
    }
}

/// A number of any length; beyond 64 bits the greatest there is, which no content reaches.
fn position(digits: &str) -> Option<u64> {
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    number.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_range() {
        assert_eq!(parse_content_range("0-0"), Ok(ContentRange { first: 0, last: 0 }));
        assert_eq!(parse_content_range("10-19").unwrap().length(), 10);
        for text in [
            "",
            "-",
            "0",
            "0-",
            "-1",
            "2-1",
            "bytes=0-1",
            "bytes 0-1/2",
            "0-1/2",
            " 0-1",
            "+0-1",
            "0-1-2",
            "0-18446744073709551615",
            "99999999999999999999-99999999999999999999",
            "٠-١",
        ] {
            assert_eq!(parse_content_range(text), Err(InvalidContentRange), "{text}");
        }
    }

    #[test]
    fn ranges_of_a_hundred_bytes() {
        use Ranges::{Satisfiable, Unsatisfiable, Whole};
        let huge = "99999999999999999999999";
        let rows = [
            ("bytes=0-0", Satisfiable(vec![0..=0])),
            ("bytes=10-19", Satisfiable(vec![10..=19])),
            ("BYTES=10-19", Satisfiable(vec![10..=19])),
            ("bytes=90-", Satisfiable(vec![90..=99])),
            ("bytes=-10", Satisfiable(vec![90..=99])),
            ("bytes=-1000", Satisfiable(vec![0..=99])),
            ("bytes=50-1000", Satisfiable(vec![50..=99])),
            (&format!("bytes=50-{huge}"), Satisfiable(vec![50..=99])),
            (&format!("bytes=-{huge}"), Satisfiable(vec![0..=99])),
            ("bytes=50-59,0-9", Satisfiable(vec![50..=59, 0..=9])),
            ("bytes= 0-9 ,\t, -1,", Satisfiable(vec![0..=9, 99..=99])),
            ("bytes=0-9,100-", Satisfiable(vec![0..=9])),
            ("bytes=0-99,0-99", Satisfiable(vec![0..=99, 0..=99])),
            ("bytes=100-", Unsatisfiable),
            ("bytes=100-200,300-", Unsatisfiable),
            (&format!("bytes={huge}-"), Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=50-0", Unsatisfiable),
            ("bytes=", Unsatisfiable),
            ("bytes=,", Unsatisfiable),
            ("bytes=abc", Unsatisfiable),
            ("bytes=0-9,x", Unsatisfiable),
            ("bytes=0-9,50-0", Unsatisfiable),
            ("bytes=1-2-3", Unsatisfiable),
            ("bytes=-", Unsatisfiable),
            ("bytes=--1", Unsatisfiable),
            ("bytes=0x1-2", Unsatisfiable),
            ("bytes=0-99,0-99,0-0", Whole),
            ("items=0-9", Whole),
            ("bytes", Whole),
            ("", Whole),
        ];
        for (header, expected) in rows {
            assert_eq!(parse_ranges(header, 100), expected, "{header}");
        }
    }

    #[test]
    fn nothing_is_sent_whole() {
        assert_eq!(parse_ranges("bytes=0-0", 0), Ranges::Whole);
        assert_eq!(parse_ranges("bytes=-5", 0), Ranges::Whole);
    }

    #[test]
    fn a_thousand_ranges_but_not_many_more() {
        let header = |count: usize| format!("bytes={}", vec!["0-0"; count].join(","));
        assert_eq!(parse_ranges(&header(1024), 1 << 20), Ranges::Satisfiable(vec![0..=0; 1024]));
        assert_eq!(parse_ranges(&header(1025), 1 << 20), Ranges::Whole);
    }

    proptest! {
        #[test]
        fn what_is_sent_lies_within_and_is_bounded(header in "bytes=[0-9,\\- ]{0,40}|\\PC{0,30}", size: u64) {
            if let Ranges::Satisfiable(ranges) = parse_ranges(&header, size) {
                prop_assert!(!ranges.is_empty());
                prop_assert!(ranges.iter().all(|range| range.start() <= range.end() && *range.end() < size));
                let total: u128 = ranges.iter().map(|range| u128::from(range.end() - range.start()) + 1).sum();
                prop_assert!(total <= 2 * u128::from(size));
            }
        }

        #[test]
        fn one_range_is_cut_to_the_content(first: u16, length in 1..1000u64, size in 1..70_000u64) {
            let (first, last) = (u64::from(first), u64::from(first) + length - 1);
            let expected = match first < size {
                true => Ranges::Satisfiable(vec![first..=last.min(size - 1)]),
                false => Ranges::Unsatisfiable,
            };
            prop_assert_eq!(parse_ranges(&format!("bytes={first}-{last}"), size), expected);
        }

        #[test]
        fn content_range_is_given_back(text in "[0-9]{1,21}-[0-9]{1,21}|\\PC{0,20}") {
            if let Ok(range) = parse_content_range(&text) {
                prop_assert!(range.length() > 0);
                let (first, last) = text.split_once('-').unwrap();
                prop_assert_eq!((first.parse(), last.parse()), (Ok(range.first), Ok(range.last)));
            }
        }
    }
}
