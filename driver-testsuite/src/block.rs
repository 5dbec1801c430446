//! Content for cases: every block of 32 bytes says which content it belongs to and at which offset it stands, so that a
//! mixture, a shift, a gap or a repetition shows, and can be named.

use bytes::Bytes;

/// The length of one block, in bytes: the content's number, its offset, and two mixed words that belong to both.
const BLOCK: usize = 32;

/// `length` bytes of the content called `number`.
pub fn content(number: u64, length: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(length.next_multiple_of(BLOCK));
    while bytes.len() < length {
        bytes.extend_from_slice(&block(number, bytes.len() as u64));
    }
    bytes.truncate(length);
    bytes.into()
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

/// Says which block this is.
fn name(bytes: &[u8]) -> String {
    let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    match words[..] {
        [number, offset, ..] if block(number ^ MARK, offset) == bytes => {
            format!("byte {offset} of content {}", number ^ MARK)
        }
        [0, 0, 0, 0] => "zeros".to_owned(),
        _ => "bytes of no content".to_owned(),
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
}
