//! The state of an unfinished hash in the encoding of Go's standard library, in which every registry that shares a store
//! can take an upload over from another.
//!
//! Both this encoding and that of the `sha2` crate hold the same things: the chaining words, how much was hashed, and the
//! bytes of the block that is not full yet. This module only moves them from one order to the other.

/// The bytes are not the state of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored state of the hash is damaged or of another kind")]
pub struct InvalidHashState;

/// Far more than anybody uploads, and so little that a hash continued from here cannot overflow its counters.
const LENGTH_MAX: u64 = 1 << 60;
const WORDS: usize = 8;
const MAGIC: usize = 4;
const LENGTH: usize = size_of::<u64>();

/// The sizes, in bytes, by which the two hash functions differ.
///
/// Go writes: magic, words (big-endian), block (zero where not filled), length in bytes (big-endian).
/// `sha2` writes: words (little-endian), count of whole blocks (little-endian), fill, block without its last byte.
pub(crate) struct Layout {
    magic: [u8; MAGIC],
    word: usize,
    block: usize,
    count: usize,
}

pub(crate) const SHA256: Layout = Layout { magic: *b"sha\x03", word: 4, block: 64, count: 8 };
pub(crate) const SHA512: Layout = Layout { magic: *b"sha\x07", word: 8, block: 128, count: 16 };

impl Layout {
    /// Go's bytes of a state that `sha2` serialized after `length` bytes of content.
    pub(crate) fn encode(&self, state: &[u8], length: u64) -> Vec<u8> {
        let (words, rest) = state.split_at(WORDS * self.word);
        let partial = &rest[self.count + 1..];
        [&self.magic, self.swap(words).as_slice(), partial, &[0], &length.to_be_bytes()].concat()
    }

    /// The bytes from which `sha2` restores a state that Go wrote, and the length of what was hashed.
    pub(crate) fn decode(&self, state: &[u8]) -> Result<(Vec<u8>, u64), InvalidHashState> {
        let body = state.strip_prefix(&self.magic).ok_or(InvalidHashState)?;
        if body.len() != WORDS * self.word + self.block + LENGTH {
            return Err(InvalidHashState);
        }
        let (words, rest) = body.split_at(WORDS * self.word);
        let (block, length) = rest.split_at(self.block);
        let length = length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        let fill = self.fill(length);
        if length > LENGTH_MAX || block[usize::from(fill)..].iter().any(|byte| *byte != 0) {
            return Err(InvalidHashState);
        }
        let count = u128::from(length / self.block as u64).to_le_bytes();
        let partial = &block[..self.block - 1];
        Ok(([self.swap(words).as_slice(), &count[..self.count], &[fill], partial].concat(), length))
    }

    /// How many bytes of the block are filled after `length` bytes of content: always less than its 64 or 128.
    fn fill(&self, length: u64) -> u8 {
        (length % self.block as u64) as u8
    }

    fn swap(&self, words: &[u8]) -> Vec<u8> {
        words.chunks(self.word).flat_map(|word| word.iter().rev()).copied().collect()
    }
}
