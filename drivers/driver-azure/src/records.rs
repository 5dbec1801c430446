//! What is kept of a write session besides its blocks: one small object below a key made of the staging path.
//!
//! It names the owner of the session, where the blocks lie, and which blocks of earlier owners count. Every change of it is
//! conditional on the version that was read before, so that of two who change it at once one succeeds: who opens a session
//! becomes its owner by changing the record, and whoever was the owner before finds its version gone.

use bytes::Bytes;
use driver_kit::{Error, ErrorKind, Path, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::blocks::Runs;
use crate::container::Condition;
use crate::error::{changing, is_condition, is_missing};
use crate::store::{SESSIONS, Store, TARGETS};

const RECORD: &str = "record";
const DATA: &str = "data-";

/// What is known of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The staging path: long ones share keys.
    pub(crate) path: String,
    /// The size of every block.
    pub(crate) part: u64,
    /// Whose blocks are added.
    pub(crate) owner: u64,
    /// The key beside which the blocks lie, once there is one.
    pub(crate) key: Option<String>,
    /// The blocks of earlier owners that hold the session up to where it was opened.
    pub(crate) runs: Runs,
}

/// A record, and the version that it has in the store.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) record: Record,
    pub(crate) etag: String,
}

/// Whose blocks lie beside a target.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    path: String,
}

impl Store {
    fn record_key(&self, path: &Path) -> String {
        format!("{}{RECORD}", self.keys.own(SESSIONS, path))
    }

    /// Where the bytes of a session go whose target is not known, or wanted by another one.
    pub(crate) fn data_key(&self, path: &Path, owner: u64) -> String {
        format!("{}{DATA}{owner:016x}", self.keys.own(SESSIONS, path))
    }

    /// Whether a key is the driver's own, where nobody sees what is done.
    pub(crate) fn is_own(&self, key: &str) -> bool {
        key.starts_with(&self.keys.area(SESSIONS))
    }

    pub(crate) async fn record(&self, path: &Path) -> Result<Option<Kept>> {
        self.record_at(&self.record_key(path)).await
    }

    /// What the object at `key` says, if it is a record.
    pub(crate) async fn record_at(&self, key: &str) -> Result<Option<Kept>> {
        if !key.ends_with(&format!("~{RECORD}")) {
            return Ok(None);
        }
        let Some((object, written)) = self.container.get_small(key).await? else { return Ok(None) };
        Ok(Some(Kept { record: parse(&written)?, etag: object.etag }))
    }

    /// Writes a record over the version that was read, or where none was. `None` when another one is there by now.
    pub(crate) async fn write_record(&self, path: &Path, record: Record, read: Option<&str>) -> Result<Option<Kept>> {
        let written = to_bytes(&record)?;
        let condition = read.map_or(Condition::Absent, Condition::Version);
        match self.container.put(&self.record_key(path), written, condition).await {
            Ok(object) => Ok(Some(Kept { record, etag: object.etag })),
            // It may be our own first attempt, of which the answer was lost.
            Err(failure) if is_condition(&failure) || is_missing(&failure) => {
                Ok(self.record(path).await?.filter(|kept| kept.record == record))
            }
            Err(failure) => Err(changing(failure)),
        }
    }

    /// Takes a record away, unless it has changed since; whether it was there unchanged.
    pub(crate) async fn delete_record(&self, path: &Path, etag: &str) -> Result<bool> {
        let condition = Condition::Version(etag);
        self.container.delete_if(&self.record_key(path), condition, None).await.map_err(changing)
    }

    /// The record is still of this version.
    pub(crate) async fn check(&self, path: &Path, etag: &str) -> Result<()> {
        match self.container.head(&self.record_key(path)).await? {
            Some(object) if object.etag == etag => Ok(()),
            Some(_) => Err(Error::fenced()),
            None => Err(Error::no_session()),
        }
    }

    /// Claims the key of a target for the blocks of the session at `path`: whether no other session has it.
    pub(crate) async fn hold_target(&self, target: &Path, path: &Path) -> Result<bool> {
        let key = self.target_key(target);
        let written = to_bytes(&Holder { path: path.to_string() })?;
        match self.container.put(&key, written, Condition::Absent).await {
            Ok(_) => Ok(true),
            Err(failure) if is_condition(&failure) => {
                let holder = self.container.get_small(&key).await?;
                let holder = holder.map(|(_, written)| parse::<Holder>(&written)).transpose()?;
                Ok(holder.is_some_and(|holder| holder.path == path.as_str()))
            }
            Err(failure) => Err(changing(failure)),
        }
    }

    /// Gives up the key of a target, where the session at `key` had it.
    pub(crate) async fn release_target(&self, key: &str) -> Result<()> {
        let Some(target) = self.path_of(key) else { return Ok(()) };
        self.container.delete(&self.target_key(&target)).await.map(drop)
    }

    fn path_of(&self, key: &str) -> Option<Path> {
        let rest = key.strip_prefix(self.keys.root())?;
        Path::parse(&format!("/{rest}")).ok()
    }

    fn target_key(&self, target: &Path) -> String {
        format!("{}{RECORD}", self.keys.own(TARGETS, target))
    }
}

fn to_bytes(record: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(record).map(Bytes::from).map_err(|problem| {
        Error::new(ErrorKind::Internal, "what is known of a session cannot be written").with_source(problem)
    })
}

fn parse<T: DeserializeOwned>(written: &[u8]) -> Result<T> {
    serde_json::from_slice(written).map_err(|problem| {
        Error::new(ErrorKind::Corrupt, "what is known of a session cannot be read").with_source(problem)
    })
}
