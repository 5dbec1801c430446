//! [`Progress`]: how far an upload is, as the store tells it and nobody else.

use std::time::SystemTime;

use futures::TryStreamExt;
use oci::{Algorithm, Hasher, RepositoryName, UploadId};
use storagedriver_proto::Path;

use crate::driver::DriverClient;
use crate::storage::StorageError;
use crate::storage::error::Found;
use crate::storage::layout::{self, UploadFact};

/// Names an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) repository: RepositoryName,
    pub(crate) id: UploadId,
}

/// From where an upload continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    /// The hash function that the bytes so far went through.
    pub(super) algorithm: Algorithm,
    /// How many bytes were acknowledged.
    pub(super) offset: u64,
    /// The write session lacks the last of these bytes; they are kept beside it.
    pub(super) has_tail: bool,
    /// What was written down about smaller offsets, and about this one.
    pub(super) saved: Vec<UploadFact>,
    /// The turns of requests that have not ended, or not in order.
    pub(super) turns: Vec<UploadFact>,
}

/// A hash state is small whatever the algorithm.
const HASH_STATE_MAX: usize = 1 << 10;

impl Upload {
    /// Where `fact` is written down.
    pub(super) fn path(&self, fact: UploadFact) -> Path {
        match fact {
            UploadFact::Started => layout::upload_started_at(&self.repository, &self.id),
            UploadFact::HashState(algorithm, offset) => {
                layout::upload_hash_state(&self.repository, &self.id, algorithm, offset)
            }
            UploadFact::Tail(offset) => layout::upload_tail(&self.repository, &self.id, offset),
            UploadFact::Turn(kind, turn) => layout::upload_turn(&self.repository, &self.id, kind, &turn),
        }
    }

    pub(super) fn folder(&self) -> Path {
        layout::upload(&self.repository, &self.id)
    }

    /// All that is written down about it, with the time of each by the store's clock.
    pub(super) async fn facts(&self, driver: &DriverClient) -> Result<Vec<(UploadFact, SystemTime)>, StorageError> {
        let folder = self.folder();
        let entries: Vec<_> = driver.walk(&folder, None).try_collect().await?;
        let facts = entries.iter().map(|entry| Some((layout::upload_fact(&folder, &entry.path)?, entry.info.modified)));
        Ok(facts.flatten().collect())
    }

    /// The staging path of its write session.
    pub(super) fn data(&self) -> Path {
        layout::upload_data(&self.repository, &self.id)
    }
}

impl Progress {
    /// Of an upload that has no bytes.
    pub(super) fn none(algorithm: Algorithm) -> Self {
        Progress { algorithm, offset: 0, has_tail: false, saved: Vec::new(), turns: Vec::new() }
    }

    /// What the store knows of an upload; it changes nothing.
    pub(super) async fn read(driver: &DriverClient, upload: &Upload) -> Result<Self, StorageError> {
        let facts: Vec<_> = upload.facts(driver).await?.into_iter().map(|(fact, _)| fact).collect();
        Self::of(&facts, driver.capabilities().granularity).ok_or(StorageError::UploadUnknown(upload.id))
    }

    /// The largest offset whose bytes are all there. `None`: there is no such upload.
    fn of(facts: &[UploadFact], granularity: u64) -> Option<Self> {
        facts.contains(&UploadFact::Started).then_some(())?;
        let has_tail = |offset: u64| facts.contains(&UploadFact::Tail(offset));
        let states = facts.iter().filter_map(|fact| match *fact {
            UploadFact::HashState(algorithm, offset) => Some((offset, algorithm)),
            _ => None,
        });
        let usable = states.filter(|&(offset, _)| offset % granularity == 0 || has_tail(offset));
        let (offset, algorithm) = usable.max().unwrap_or((0, Algorithm::Sha256));
        let said = facts.iter().copied().filter(|fact| *fact != UploadFact::Started);
        let (turns, saved) = said.partition(|fact| matches!(fact, UploadFact::Turn(..)));
        Some(Progress { algorithm, offset, has_tail: has_tail(offset), saved, turns })
    }

    /// The progress towards content that the client names with `algorithm`: while there are no bytes, nothing is decided.
    pub(super) fn towards(self, algorithm: Algorithm) -> Self {
        if self.offset == 0 { Progress { algorithm, ..self } } else { self }
    }

    /// Whether there is a write session that holds all of the bytes.
    pub(super) fn is_persisted(&self) -> bool {
        self.offset > 0 && !self.has_tail
    }

    /// The hash of the bytes so far.
    pub(super) async fn hasher(&self, driver: &DriverClient, upload: &Upload) -> Result<Hasher, StorageError> {
        if self.offset == 0 {
            return Ok(Hasher::new(self.algorithm));
        }
        let path = upload.path(UploadFact::HashState(self.algorithm, self.offset));
        let state = driver.get(&path, HASH_STATE_MAX).await.found()?.ok_or(StorageError::UploadUnknown(upload.id))?;
        match Hasher::from_go_state(self.algorithm, &state) {
            Ok(hasher) if hasher.length() == self.offset => Ok(hasher),
            _ => Err(StorageError::UploadBroken(upload.id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use UploadFact::{HashState, Started, Tail};

    #[test]
    fn an_upload_continues_at_the_largest_offset_whose_bytes_are_there() {
        let (sha256, sha512) = (Algorithm::Sha256, Algorithm::Sha512);
        type Row<'a> = (u64, &'a [UploadFact], Option<(Algorithm, u64, bool)>);
        let rows: [Row<'_>; 8] = [
            (1, &[], None),
            (1, &[HashState(sha256, 7)], None),
            (1, &[Started], Some((sha256, 0, false))),
            (1, &[HashState(sha512, 0), Started], Some((sha512, 0, false))),
            (
                1,
                &[HashState(sha256, 0), HashState(sha256, 9), HashState(sha256, 10), Started],
                Some((sha256, 10, false)),
            ),
            (4, &[HashState(sha256, 8), HashState(sha256, 10), Started], Some((sha256, 8, false))),
            (4, &[HashState(sha256, 8), HashState(sha256, 10), Started, Tail(10)], Some((sha256, 10, true))),
            (4, &[HashState(sha256, 8), Started, Tail(10)], Some((sha256, 8, false))),
        ];
        for (granularity, facts, expected) in rows {
            let progress = Progress::of(facts, granularity);
            let seen = progress.map(|progress| (progress.algorithm, progress.offset, progress.has_tail));
            assert_eq!(seen, expected, "{facts:?}");
        }
    }
}
