//! [`Content`]: bytes as a trace tells them, and [`Sketch`], which takes them in pieces and keeps few.

use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::block::{locate, part};

/// Longest content that is written down as it is, in bytes.
const INLINE: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Content {
    Text(String),
    Hex(String),
    /// The number of a content of [`crate::content`], where this part of it begins, and its length.
    Pattern(u64, u64, u64),
    /// The length and a hash of what can be had from nowhere else. It cannot be replayed.
    Unknown(u64, String),
}

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut sketch = Sketch::default();
        sketch.take(bytes);
        sketch.content()
    }

    /// The bytes; `None` when they are unknown.
    pub(crate) fn bytes(&self) -> Option<Bytes> {
        match self {
            Content::Text(text) => Some(text.clone().into()),
            Content::Hex(digits) => bytes_of(digits).map(Into::into),
            Content::Pattern(number, start, length) => Some(part(*number, *start, *length as usize)),
            Content::Unknown(..) => None,
        }
    }

    pub(crate) fn length(&self) -> u64 {
        match self {
            Content::Text(text) => text.len() as u64,
            Content::Hex(digits) => digits.len() as u64 / 2,
            Content::Pattern(_, _, length) | Content::Unknown(length, _) => *length,
        }
    }
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().as_chunks::<2>().0.iter();
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Content that is still coming.
#[derive(Debug, Default)]
pub(crate) struct Sketch {
    /// The beginning, which is all of it when it is short.
    head: Vec<u8>,
    length: u64,
    hash: DefaultHasher,
    /// The content and the offset in it at which these bytes begin, as long as all of them agree.
    pattern: Option<(u64, u64)>,
}

impl Sketch {
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(INLINE - self.head.len()));
        self.head.extend_from_slice(head);
        self.length += head.len() as u64;
        self.hash.write(head);
        if self.head.len() == INLINE && !head.is_empty() {
            self.pattern = pattern(&self.head);
        }
        if !rest.is_empty() {
            self.take_more(rest);
        }
    }

    fn take_more(&mut self, bytes: &[u8]) {
        let length = self.length;
        self.pattern = self.pattern.filter(|(number, start)| part(*number, start + length, bytes.len()) == bytes);
        self.length += bytes.len() as u64;
        self.hash.write(bytes);
    }

    pub(crate) fn content(&self) -> Content {
        let short = self.length == self.head.len() as u64;
        let found = if short { pattern(&self.head) } else { self.pattern };
        match (found, std::str::from_utf8(&self.head)) {
            (Some((number, start)), _) => Content::Pattern(number, start, self.length),
            (None, Ok(text)) if short => Content::Text(text.to_owned()),
            _ if short => Content::Hex(self.head.iter().map(|byte| format!("{byte:02x}")).collect()),
            _ => Content::Unknown(self.length, format!("{:016x}", self.hash.finish())),
        }
    }
}

/// What `head` is a part of, to its last byte.
fn pattern(head: &[u8]) -> Option<(u64, u64)> {
    locate(head).filter(|(number, start)| part(*number, *start, head.len()) == head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(bytes: &[u8], size: usize) -> Content {
        let mut sketch = Sketch::default();
        bytes.chunks(size).for_each(|piece| sketch.take(piece));
        sketch.content()
    }

    #[test]
    fn bytes_come_back_however_they_came() {
        let long = crate::content(3, 20_000);
        for bytes in [b"", b"text".as_slice(), &[0xff, 0], &long, &long[77..9000], &long[..40], &long[..4096]] {
            for size in [1, 7, 4096, 30_000] {
                assert_eq!(in_pieces(bytes, size).bytes().unwrap(), bytes, "{} in {size}", bytes.len());
                assert_eq!(in_pieces(bytes, size).length(), bytes.len() as u64);
            }
        }
        assert_eq!(Content::of(&long[77..9000]), Content::Pattern(3, 77, 8923));
    }

    #[test]
    fn what_cannot_be_made_again_is_unknown_and_still_told_apart() {
        let mut damaged = crate::content(3, 20_000).to_vec();
        damaged[19_999] ^= 1;
        let one = in_pieces(&damaged, 1000);
        assert!(matches!(one, Content::Unknown(20_000, _)) && one.bytes().is_none());
        assert_eq!(one, in_pieces(&damaged, 777));
        damaged[5000] ^= 1;
        assert_ne!(one, Content::of(&damaged));
        damaged.truncate(100);
        damaged[99] ^= 1;
        assert!(matches!(Content::of(&damaged), Content::Hex(_)));
    }
}
