//! Content for cases: every block of 32 bytes says which content it belongs to and at which offset it stands, so that a
//! mixture, a shift, a gap or a repetition shows, and can be named.

use bytes::Bytes;

/// The length of one block, in bytes: the content's number, its offset, and two mixed words that belong to both.
const BLOCK: usize = 32;

/// `length` bytes of the content called `number`.
pub fn content(number: u64, length: usize) -> Bytes {
    part(number, 0, length)
}

/// `length` bytes of the content called `number`, from the byte `start` on.
pub(crate) fn part(number: u64, start: u64, length: usize) -> Bytes {
    let skipped = (start % BLOCK as u64) as usize;
    let (first, end) = (start - skipped as u64, skipped + length);
    let mut bytes = Vec::with_capacity(end.next_multiple_of(BLOCK));
    while bytes.len() < end {
        bytes.extend_from_slice(&block(number, first + bytes.len() as u64));
    }
    bytes.truncate(end);
    Bytes::from(bytes).slice(skipped..)
}

/// Of which content `bytes` begin like a part, and where in it that part begins. Two blocks are enough to tell.
pub(crate) fn locate(bytes: &[u8]) -> Option<(u64, u64)> {
    let blocks = bytes.windows(BLOCK).take(BLOCK).enumerate();
    let found = blocks.filter_map(|(at, bytes)| Some((at, named(bytes)?))).next()?;
    let (at, (number, offset)) = found;
    Some((number, offset.checked_sub(at as u64)?))
}

/// Where `seen` is not `wanted`, and what stands there instead; `None` when they are equal.
pub(crate) fn difference(seen: &[u8], wanted: &[u8]) -> Option<String> {
    if seen == wanted {
        return None;
    }
    let lengths = format!("{} bytes instead of {}", seen.len(), wanted.len());
    let Some(at) = seen.iter().zip(wanted).position(|(a, b)| a != b) else { return Some(lengths) };
    let start = at - at % BLOCK;
    let stands = seen.get(start..start + BLOCK).map_or("a cut block".to_owned(), name);
    let belongs = wanted.get(start..start + BLOCK).map_or("a cut block".to_owned(), name);
    Some(format!("{lengths}, and from byte {at} on {stands} where there should be {belongs}"))
}

fn block(number: u64, offset: u64) -> [u8; BLOCK] {
    let (number, first) = (number ^ MARK, mix(number ^ mix(offset)));
    let words = [number, offset, first, mix(first)];
    let mut block = [0; BLOCK];
    for (place, word) in block.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    block
}

/// Keeps a block of zeros from looking like the first block of content 0.
const MARK: u64 = 0x626c_6f63_6b20_6f66;

/// The finaliser of splitmix64: every bit of the result depends on every bit of `word`.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The content that a block belongs to, and where it stands in it.
fn named(bytes: &[u8]) -> Option<(u64, u64)> {
    let [number, offset] = [bytes.get(..8)?, bytes.get(8..16)?].map(word);
    let number = number ^ MARK;
    (block(number, offset) == bytes).then_some((number, offset))
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Says which block this is.
fn name(bytes: &[u8]) -> String {
    match named(bytes) {
        Some((number, offset)) => format!("byte {offset} of content {number}"),
        None if bytes == [0; BLOCK] => "zeros".to_owned(),
        None => "bytes of no content".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_stands_where_it_should_not() {
        let (one, other) = (content(1, 100), content(2, 100));
        assert_eq!(difference(&one, &one), None);
        assert!(difference(&other, &one).is_some_and(|told| told.contains("byte 0 of content 2 where")));
        let mixed = [&one[..64], &other[64..]].concat();
        let told = difference(&mixed, &one).unwrap_or_default();
        assert!(told.contains("from byte 64 on") || told.contains("byte 64 of content 2"), "{told}");
        let shifted = difference(&one[32..], &one).unwrap_or_default();
        assert!(shifted.contains("68 bytes instead of 100") && shifted.contains("byte 32 of content 1"), "{shifted}");
        assert!(difference(&[0; 100], &one).is_some_and(|told| told.contains("zeros")));
        assert_eq!(difference(&one[..10], &one).as_deref(), Some("10 bytes instead of 100"));
    }

    #[test]
    fn no_content_is_the_beginning_of_another() {
        assert_ne!(content(1, 8), content(2, 8));
        assert_eq!(content(3, 1000)[..77], content(3, 77));
    }

    #[test]
    fn a_part_is_known_wherever_it_begins() {
        let whole = content(5, 300);
        for start in [0, 1, 31, 32, 45, 200] {
            assert_eq!(part(5, start, 100), whole[start as usize..start as usize + 100]);
            assert_eq!(locate(&whole[start as usize..]), Some((5, start)));
        }
        assert_eq!(locate(&[7; 100]), None);
        assert_eq!(locate(&whole[..20]), None);
    }
}
