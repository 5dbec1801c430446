//! [`Contents`]: small content by its digest, remembered. What a digest names never changes, so it is never out of date.
//!
//! That content is remembered does not say that it is stored, nor who may see it: whoever asks has found a link to it.

use std::sync::Arc;

use bytes::Bytes;
use oci::Digest;

use super::cache::{Cache, Weigh};

/// More is not worth the place that it takes: it costs little beside its own bytes to read it again.
pub(super) const CONTENT_MAX: usize = 64 << 10;
const USUAL: u64 = 4 << 10;

#[derive(Clone)]
pub(super) struct Contents<V>(Arc<Cache<Digest, V>>);

impl<V: Weigh + Clone> Contents<V> {
    /// Remembers at most `bytes`.
    pub(super) fn new(bytes: u64) -> Self {
        Contents(Arc::new(Cache::new(bytes, USUAL)))
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<V> {
        self.0.get(digest)
    }

    /// Remembers `value`, which is or has `content`, if that is small and nothing else than its digest says: what is damaged
    /// in the store is not to stay here when it is mended there.
    pub(super) fn keep(&self, digest: &Digest, content: &[u8], value: impl FnOnce(Bytes) -> V) {
        if content.len() <= CONTENT_MAX && Digest::of(digest.algorithm(), content) == *digest {
            // A copy: what came from a driver may be part of something larger.
            self.0.insert(digest.clone(), value(Bytes::copy_from_slice(content)));
        }
    }
}

impl Weigh for Digest {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.as_str().len()
    }
}

impl Weigh for Bytes {
    fn weight(&self) -> usize {
        self.len()
    }
}

#[cfg(test)]
mod tests {
    use oci::Algorithm;

    use super::*;

    #[test]
    fn only_small_content_that_is_whole_is_kept() {
        let contents: Contents<Bytes> = Contents::new(1 << 20);
        let digest = |content: &[u8]| Digest::of(Algorithm::Sha256, content);
        let (small, large) = (vec![1; 100], vec![2; CONTENT_MAX + 1]);
        for (name, content, kept) in [(&small, &small, true), (&large, &large, false), (&vec![3; 9], &small, false)] {
            contents.keep(&digest(name), content, |bytes| bytes);
            assert_eq!(contents.get(&digest(name)).is_some(), kept, "{}", content.len());
        }
    }
}
