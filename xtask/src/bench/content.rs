//! Content to push, of which no two pieces are the same and which costs next to nothing to make and to digest.
//!
//! It knows no registry.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

const BLOCK: usize = 256 << 10;
/// Bytes at the end of each content, which make it unlike all others.
const LAST: usize = 8;

/// Contents of one size: the same bytes but for the last few.
pub(super) struct Source {
    block: Vec<u8>,
    size: u64,
    /// Of all bytes but the last.
    hash: Sha256,
    next: AtomicU64,
}

/// One content of a [`Source`].
pub(super) struct Content<'a> {
    source: &'a Source,
    last: [u8; LAST],
    pub(super) digest: String,
}

impl Source {
    pub(super) fn new(size: u64) -> Self {
        let block: Vec<u8> = (0..BLOCK).map(|_| rand::random()).collect();
        let mut source =
            Source { block, size: size.max(LAST as u64), hash: Sha256::new(), next: rand::random::<u64>().into() };
        let mut hash = Sha256::new();
        source.beginning().for_each(|block| hash.update(block));
        source.hash = hash;
        source
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn make(&self) -> Content<'_> {
        let last = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let hash = self.hash.clone().chain_update(last);
        Content { source: self, last, digest: digest(hash) }
    }

    fn beginning(&self) -> impl Iterator<Item = &[u8]> {
        let size = self.size - LAST as u64;
        let whole = std::iter::repeat_n(self.block.as_slice(), (size / BLOCK as u64) as usize);
        whole.chain([&self.block[..(size % BLOCK as u64) as usize]])
    }
}

impl Content<'_> {
    pub(super) fn length(&self) -> u64 {
        self.source.size
    }

    /// All of it, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.source.beginning().chain([self.last.as_slice()])
    }

    /// All of it, in chunks of so many blocks of 256 KiB.
    pub(super) fn chunks(&self, blocks: usize) -> Vec<Vec<&[u8]>> {
        let beginning: Vec<&[u8]> = self.source.beginning().collect();
        let mut chunks: Vec<Vec<&[u8]>> = beginning.chunks(blocks).map(<[&[u8]]>::to_vec).collect();
        chunks.last_mut().into_iter().for_each(|chunk| chunk.push(&self.last));
        chunks
    }
}

/// As registries write it.
fn digest(hash: Sha256) -> String {
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_differ_and_have_the_digest_of_their_bytes() {
        let source = Source::new(600_000);
        let (one, other) = (source.make(), source.make());
        let bytes = |content: &Content<'_>| content.pieces().flatten().copied().collect::<Vec<u8>>();
        assert_eq!(bytes(&one).len(), 600_000);
        assert_eq!(one.digest, digest(Sha256::new().chain_update(bytes(&one))));
        assert_ne!(one.digest, other.digest);
    }

    #[test]
    fn chunks_are_the_content_in_order() {
        let source = Source::new(1 << 20);
        let content = source.make();
        let chunks = content.chunks(2);
        let lengths: Vec<usize> = chunks.iter().map(|chunk| chunk.iter().map(|piece| piece.len()).sum()).collect();
        assert_eq!(lengths, [2 * BLOCK, 2 * BLOCK]);
        assert_eq!(chunks.concat().concat(), content.pieces().collect::<Vec<_>>().concat());
    }
}
