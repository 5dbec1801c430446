//! Opening a write session: taking it over from whoever had it, in whatever process, and knowing what there is of it.

use std::sync::Arc;

use driver_kit::{Error, ErrorKind, Path, Result};

use crate::blocks::{Runs, id};
use crate::records::Record;
use crate::session::{OwnBlocks, Session};
use crate::store::Store;

/// Attempts to become the owner among many that open a session at once.
const ATTEMPTS: u32 = 50;

/// The blocks of a session as they lie in the store.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) runs: Runs,
    /// What lies at the key is an object that begins with just these blocks: an earlier Commit came so far.
    pub(crate) is_committed: bool,
}

impl Store {
    pub(crate) async fn open(self: &Arc<Self>, path: &Path, offset: u64, target: Option<&Path>) -> Result<Session> {
        for _ in 0..ATTEMPTS {
            let older = self.record(path).await?;
            let record = match &older {
                Some(older) if offset > 0 => self.continued(path, &older.record, offset).await?,
                None if offset > 0 => return Err(Error::no_session()),
                _ => self.new_record(path),
            };
            let read = older.as_ref().map(|older| older.etag.as_str());
            let Some(kept) = self.write_record(path, record, read).await? else { continue };
            let left = older.and_then(|older| older.record.key).filter(|key| kept.record.key.as_ref() != Some(key));
            if let Some(key) = left {
                self.give_up_blocks(&key).await?;
            }
            return Ok(Session::new(OwnBlocks::new(Arc::clone(self), path.clone(), kept, target.cloned())));
        }
        let kind = ErrorKind::Unavailable { may_have_happened: true };
        Err(Error::new(kind, "too many callers open this session at once"))
    }

    fn new_record(&self, path: &Path) -> Record {
        let (path, part, runs) = (path.to_string(), self.part, Runs::default());
        Record { path, part, owner: rand::random(), key: None, runs }
    }

    /// The session up to `offset`, if one can go on from there, with a new owner.
    async fn continued(&self, path: &Path, older: &Record, offset: u64) -> Result<Record> {
        let held = self.held(older).await?;
        // Blocks of another size came from another configuration: nobody can go on in steps that are promised now.
        let count = if older.part == self.part { held.runs.len() } else { 0 };
        if offset > count * self.part || !offset.is_multiple_of(self.part) {
            return Err(Error::offset_invalid(count * self.part));
        }
        let runs = held.runs.first(offset / self.part);
        Ok(Record { key: older.key.clone(), runs, ..self.new_record(path) })
    }

    /// What there is of a session: the blocks that are known of, then its owner's own up to the first that is missing.
    pub(crate) async fn held(&self, record: &Record) -> Result<Held> {
        let Some(key) = &record.key else { return Ok(Held { runs: Runs::default(), is_committed: false }) };
        let staged = self.container.blocks(key).await?;
        let known = record.runs.ids().take_while(|id| staged.has(id, record.part)).count() as u64;
        if known < record.runs.len() {
            // Something was put at the key meanwhile, and Azure has thrown the blocks away.
            return Ok(Held { runs: record.runs.first(known), is_committed: false });
        }
        let own = (0..).take_while(|number| staged.has(&id(record.owner, *number), record.part)).count();
        let runs = record.runs.clone().with(record.owner, u32::try_from(own).unwrap_or(u32::MAX));
        let wanted: Vec<_> = runs.ids().collect();
        let is_committed = !wanted.is_empty() && staged.committed.starts_with(&wanted);
        Ok(Held { runs, is_committed })
    }

    /// Frees the blocks of a session that needs them no more.
    pub(crate) async fn give_up_blocks(&self, key: &str) -> Result<()> {
        if self.is_own(key) { self.container.free(key).await } else { self.release_target(key).await }
    }
}
