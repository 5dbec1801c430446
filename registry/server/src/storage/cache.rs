//! [`Cache`]: what was read before, as much of it as fits into a number of bytes; what is asked for most often stays.
//!
//! It must not know what it keeps, nor when that ceases to be true.

use std::hash::Hash;

use quick_cache::Weighter;
use quick_cache::sync;

/// What an entry costs beside its key and its value.
const OVERHEAD: usize = 128;

/// How many bytes something takes.
pub(super) trait Weigh {
    fn weight(&self) -> usize;
}

/// Everything is counted with its key, in bytes.
#[derive(Clone)]
struct Bytes;

impl<K: Weigh, V: Weigh> Weighter<K, V> for Bytes {
    fn weight(&self, key: &K, value: &V) -> u64 {
        (key.weight() + value.weight() + OVERHEAD) as u64
    }
}

pub(super) struct Cache<K, V>(Option<sync::Cache<K, V, Bytes>>);

impl<K: Weigh + Eq + Hash, V: Weigh + Clone> Cache<K, V> {
    /// At most `bytes` in all, of which about `usual` are one entry. With none nothing is ever kept.
    pub(super) fn new(bytes: u64, usual: u64) -> Self {
        let entries = usize::try_from(bytes / usual).unwrap_or(usize::MAX);
        Cache((bytes > 0).then(|| sync::Cache::with_weighter(entries, bytes, Bytes)))
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.0.as_ref()?.get(key)
    }

    pub(super) fn insert(&self, key: K, value: V) {
        if let Some(cache) = &self.0 {
            cache.insert(key, value);
        }
    }

    pub(super) fn remove(&self, key: &K) {
        if let Some(cache) = &self.0 {
            cache.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weigh for u32 {
        fn weight(&self) -> usize {
            4
        }
    }

    impl Weigh for Vec<u8> {
        fn weight(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn what_is_kept_stays_within_its_bound() {
        let cache = Cache::new(100_000, 1000);
        for key in 0..1000_u32 {
            cache.insert(key, vec![7; 1000]);
        }
        let kept = (0..1000).filter(|key| cache.get(key).is_some()).count();
        assert!((1..=100).contains(&kept), "{kept}");
        cache.insert(1, vec![1]);
        cache.remove(&1);
        assert_eq!(cache.get(&1), None);
    }

    #[test]
    fn without_a_bound_nothing_is_kept() {
        let cache = Cache::new(0, 1000);
        cache.insert(1_u32, vec![7]);
        assert_eq!(cache.get(&1), None);
    }
}
