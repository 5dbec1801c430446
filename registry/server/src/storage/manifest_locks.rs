//! [`ManifestLocks`]: a push of a manifest and its deletion, in this registry one after the other.
//!
//! Between registries nothing like it is needed for a sound store, and nothing like it is there. It must not know what
//! the two do.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use oci::{Digest, RepositoryName};
use tokio::sync::RwLock;

/// So many locks, however many manifests: what has the same one waits for a deletion now and then that is not its own.
const LOCKS: usize = 256;

#[derive(Clone)]
pub(super) struct ManifestLocks {
    locks: Arc<[RwLock<()>]>,
    hasher: RandomState,
}

impl Default for ManifestLocks {
    fn default() -> Self {
        ManifestLocks { locks: (0..LOCKS).map(|_| RwLock::default()).collect(), hasher: RandomState::new() }
    }
}

impl ManifestLocks {
    /// To be read by who pushes this manifest, and written by who deletes it.
    pub(super) fn of(&self, name: &RepositoryName, digest: &Digest) -> &RwLock<()> {
        let hash = self.hasher.hash_one((name.as_str(), digest.as_str()));
        &self.locks[hash as usize % LOCKS]
    }
}
