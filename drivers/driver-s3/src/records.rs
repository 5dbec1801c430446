//! What is kept of a write session besides its parts: small objects beside each other, below a key made of the staging path.
//!
//! | object | written | says |
//! |---|---|---|
//! | claim | once, by whoever opens the session | which parts of which upload were there, and from which number on others may come |
//! | lease | again and again, by who claimed | the upload it writes to, and up to which number its parts may go |
//! | data | once, by Commit | the bytes, on their way to a target that was not known before |
//!
//! The newest claim is the session's, and its owner alone may add. Nothing here is a lock, and nothing is ever read and then
//! written back, so it needs no more of the server than that a listing shows what was put before it began:
//! who writes a lease looks whether its claim is still the newest *afterwards*, and who claims looks at the older lease
//! *afterwards*. One of two that do so at once sees the other.

use driver_kit::{Error, ErrorKind, Path, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::parts::Numbers;
use crate::store::{SESSIONS, Store};
use crate::uploads::Upload;

const CLAIM: &str = "claim-";
const LEASE: &str = "lease-";
const DATA: &str = "data-";

/// Names a claim: of two, the greater is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) epoch: u32,
    /// Tells claims apart that were made at once.
    pub(crate) nonce: u64,
}

/// What a claim says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The staging path: long ones share keys.
    pub(crate) path: String,
    /// The size of every part.
    pub(crate) part: u64,
    /// The upload that is gone on with.
    pub(crate) upload: Option<Upload>,
    /// Its parts that hold the session up to where it was opened.
    pub(crate) parts: Numbers,
    /// Parts that are added have numbers from this on: no earlier owner can use one of them.
    pub(crate) first: u32,
}

/// What a lease says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) upload: Upload,
    /// The last number of a part that the owner may use.
    pub(crate) until: u32,
}

/// The objects of one session, as a listing shows them.
#[derive(Debug, Default)]
pub(crate) struct Records {
    claims: Vec<Name>,
    leases: Vec<Name>,
    keys: Vec<String>,
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        let (epoch, nonce) = text.split_once('-')?;
        Some(Name { epoch: u32::from_str_radix(epoch, 16).ok()?, nonce: u64::from_str_radix(nonce, 16).ok()? })
    }

    fn key(self, kind: &str, folder: &str) -> String {
        format!("{folder}{kind}{:08x}-{:016x}", self.epoch, self.nonce)
    }
}

impl Records {
    /// Of the keys that begin with `folder`.
    pub(crate) fn new(folder: &str, keys: Vec<String>) -> Self {
        let mut records = Records::default();
        for key in &keys {
            let name = key.strip_prefix(folder).unwrap_or_default();
            records.claims.extend(name.strip_prefix(CLAIM).and_then(Name::parse));
            records.leases.extend(name.strip_prefix(LEASE).and_then(Name::parse));
        }
        records.keys = keys;
        records
    }

    pub(crate) fn newest(&self) -> Option<Name> {
        self.claims.iter().copied().max()
    }

    /// The newest claim that is not of `nonce`.
    pub(crate) fn newest_but(&self, nonce: u64) -> Option<Name> {
        self.claims.iter().copied().filter(|name| name.nonce != nonce).max()
    }

    pub(crate) fn has_lease(&self, name: Name) -> bool {
        self.leases.contains(&name)
    }

    pub(crate) fn into_keys(self) -> Vec<String> {
        self.keys
    }

    /// The claim of `name` is the session's.
    pub(crate) fn check(&self, name: Name) -> Result<()> {
        match self.newest() {
            Some(newest) if newest == name => Ok(()),
            Some(_) => Err(Error::fenced()),
            None => Err(Error::no_session()),
        }
    }
}

impl Store {
    /// What all keys of the session at `path` begin with.
    fn folder(&self, path: &Path) -> String {
        self.keys.own(SESSIONS, path)
    }

    pub(crate) async fn records(&self, path: &Path) -> Result<Records> {
        let folder = self.folder(path);
        let listed = self.bucket.list_few(&folder).await?;
        Ok(Records::new(&folder, listed.into_iter().map(|(key, _)| key).collect()))
    }

    pub(crate) fn claim_key(&self, path: &Path, name: Name) -> String {
        name.key(CLAIM, &self.folder(path))
    }

    pub(crate) fn lease_key(&self, path: &Path, name: Name) -> String {
        name.key(LEASE, &self.folder(path))
    }

    /// Where the bytes of a session go whose target is not known.
    pub(crate) fn data_key(&self, path: &Path, name: Name) -> String {
        name.key(DATA, &self.folder(path))
    }

    pub(crate) async fn put_claim(&self, path: &Path, name: Name, claim: &Claim) -> Result<()> {
        self.put_record(&self.claim_key(path, name), claim).await
    }

    pub(crate) async fn put_lease(&self, path: &Path, name: Name, lease: &Lease) -> Result<()> {
        self.put_record(&self.lease_key(path, name), lease).await
    }

    /// `None` when it is no more.
    pub(crate) async fn claim(&self, path: &Path, name: Name) -> Result<Option<Claim>> {
        self.record(&self.claim_key(path, name)).await
    }

    /// `None` when it never was, or is no more.
    pub(crate) async fn lease(&self, path: &Path, name: Name) -> Result<Option<Lease>> {
        self.record(&self.lease_key(path, name)).await
    }

    async fn put_record(&self, key: &str, record: &impl Serialize) -> Result<()> {
        let written = serde_json::to_vec(record).map_err(|problem| {
            Error::new(ErrorKind::Internal, "what is known of a session cannot be written").with_source(problem)
        })?;
        self.bucket.put(key, written.into(), false).await.map(drop)
    }

    async fn record<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(written) = self.bucket.get_small(key).await? else { return Ok(None) };
        let read = serde_json::from_slice(&written).map_err(|problem| {
            Error::new(ErrorKind::Corrupt, "what is known of a session cannot be read").with_source(problem)
        })?;
        Ok(Some(read))
    }

    /// What the object at `key` says, if it is a claim.
    pub(crate) async fn claim_at(&self, key: &str) -> Result<Option<Claim>> {
        if is(key, CLAIM) { self.record(key).await } else { Ok(None) }
    }

    /// The uploads that the records at `keys` name.
    pub(crate) async fn uploads_of(&self, keys: &[String]) -> Result<Vec<Upload>> {
        let mut uploads = Vec::new();
        for key in keys {
            let upload = if is(key, LEASE) {
                self.record::<Lease>(key).await?.map(|lease| lease.upload)
            } else {
                self.claim_at(key).await?.and_then(|claim| claim.upload)
            };
            uploads.extend(upload.filter(|upload| !uploads.contains(upload)));
        }
        Ok(uploads)
    }
}

/// Whether the object at `key` is of this kind.
fn is(key: &str, kind: &str) -> bool {
    key.rsplit('~').next().is_some_and(|name| name.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_claim_is_found_among_all_keys() {
        let folder = "root/~sessions/a/~";
        let [one, two, three] = [(1, 9), (2, 3), (2, 4)].map(|(epoch, nonce)| Name { epoch, nonce });
        let keys = vec![
            one.key(CLAIM, folder),
            three.key(CLAIM, folder),
            two.key(CLAIM, folder),
            one.key(LEASE, folder),
            one.key(DATA, folder),
            format!("{folder}claim-nonsense"),
        ];
        let records = Records::new(folder, keys);
        assert_eq!(records.newest(), Some(three));
        assert_eq!(records.newest_but(4), Some(two));
        assert!(records.has_lease(one) && !records.has_lease(two));
        assert!(records.check(three).is_ok());
        assert_eq!(records.check(two).unwrap_err().kind(), ErrorKind::Fenced);
        assert_eq!(Records::default().check(two).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn names_sort_as_numbers_do_and_fit_their_key() {
        let name = Name { epoch: u32::MAX, nonce: 7 };
        let key = name.key(CLAIM, "~");
        assert_eq!(key.strip_prefix("~claim-").and_then(Name::parse), Some(name));
        assert!(Name { epoch: 10, nonce: 0 } > Name { epoch: 9, nonce: u64::MAX });
    }
}
