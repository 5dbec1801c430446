//! Opening a write session: taking it over from whoever had it, in whatever process, and knowing what there is of it.

use std::sync::Arc;

use driver_kit::{Error, ErrorKind, Path, Result};

use crate::parts::{Numbers, Part};
use crate::records::{Claim, Name, Records};
use crate::session::{OwnParts, Session};
use crate::store::Store;
use crate::uploads::{ListedPart, Upload};

/// Attempts to be the newest among many that open a session at once.
const ATTEMPTS: u32 = 20;

/// A session as it lies in the store.
#[derive(Debug, Clone)]
pub(crate) struct Staged {
    pub(crate) upload: Option<Upload>,
    /// Whole parts, in order.
    pub(crate) parts: Vec<Part>,
    /// The size of each.
    pub(crate) part: u64,
    /// The last number that may belong to a part of its owner.
    pub(crate) until: u32,
    /// The upload is no more: a Commit completed it, or a Delete aborted it.
    pub(crate) is_over: bool,
}

/// A session of ours.
pub(crate) struct Claimed {
    pub(crate) name: Name,
    pub(crate) upload: Option<Upload>,
    pub(crate) parts: Vec<Part>,
    pub(crate) first: u32,
}

impl Store {
    pub(crate) async fn open(self: &Arc<Self>, path: &Path, offset: u64, target: Option<&Path>) -> Result<Session> {
        let claimed = if offset == 0 { self.start_over(path).await? } else { self.go_on(path, offset).await? };
        let key = match target {
            Some(target) => self.keys.content(target),
            None => self.data_key(path, claimed.name),
        };
        Ok(Session::new(OwnParts::new(Arc::clone(self), path.clone(), claimed, key)))
    }

    /// Claims before it looks: mostly there is no session yet.
    async fn start_over(&self, path: &Path) -> Result<Claimed> {
        let mut name = Name { epoch: 1, nonce: rand::random() };
        let claim =
            Claim { path: path.to_string(), part: self.part, upload: None, parts: Numbers::default(), first: 1 };
        for _ in 0..ATTEMPTS {
            self.put_claim(path, name, &claim).await?;
            let records = self.records(path).await?;
            match records.newest() {
                Some(newest) if newest > name => name.epoch = newest.epoch + 1,
                _ => {
                    self.retire(path, records, name, None).await?;
                    return Ok(Claimed { name, upload: None, parts: Vec::new(), first: 1 });
                }
            }
        }
        Err(crowded())
    }

    /// Looks, claims, and looks again at what the owner before may have leased meanwhile.
    async fn go_on(&self, path: &Path, offset: u64) -> Result<Claimed> {
        let nonce = rand::random();
        let mut records = self.records(path).await?;
        for _ in 0..ATTEMPTS {
            let older = records.newest_but(nonce).ok_or_else(Error::no_session)?;
            let staged = self.staged(path, &records, older).await?;
            let claimed = self.continued(&staged, older, nonce, offset)?;
            let name = Name { epoch: records.newest().map_or(1, |newest| newest.epoch + 1), nonce };
            let claim = Claim {
                path: path.to_string(),
                part: self.part,
                upload: claimed.upload.clone(),
                parts: Numbers::of(&claimed.parts),
                first: claimed.first,
            };
            self.put_claim(path, name, &claim).await?;
            records = self.records(path).await?;
            let is_newest = records.newest() == Some(name) && records.newest_but(nonce) == Some(older);
            if is_newest && self.until(path, older, &claim).await? == Some(staged.until) {
                self.retire(path, records, name, claim.upload.as_ref()).await?;
                return Ok(Claimed { name, ..claimed });
            }
        }
        Err(crowded())
    }

    /// What is there up to `offset`, if one can go on from there.
    fn continued(&self, staged: &Staged, older: Name, nonce: u64, offset: u64) -> Result<Claimed> {
        if staged.is_over {
            return Err(Error::no_session());
        }
        // Parts of another size came from another configuration: nobody can go on in steps that are promised now.
        let count = if staged.part == self.part { staged.parts.len() as u64 } else { 0 };
        let persisted = count * self.part;
        if offset > persisted || !offset.is_multiple_of(self.part) {
            return Err(Error::offset_invalid(persisted));
        }
        let kept = usize::try_from(offset / self.part).unwrap_or(usize::MAX);
        let parts = staged.parts.iter().take(kept).cloned().collect();
        let name = Name { nonce, ..older };
        Ok(Claimed { name, upload: staged.upload.clone(), parts, first: staged.until + 1 })
    }

    /// The session whose newest claim is `name`, as it lies in the store.
    pub(crate) async fn staged(&self, path: &Path, records: &Records, name: Name) -> Result<Staged> {
        let claim = self.claim(path, name).await?.ok_or_else(Error::no_session)?;
        let lease = if records.has_lease(name) { self.lease(path, name).await? } else { None };
        let until = lease.as_ref().map_or(claim.first - 1, |lease| lease.until);
        let upload = lease.map(|lease| lease.upload).or(claim.upload);
        let staged = Staged { upload, parts: Vec::new(), part: claim.part, until, is_over: false };
        let Some(upload) = &staged.upload else { return Ok(staged) };
        let Some(listed) = self.bucket.list_parts(upload).await? else {
            return Ok(Staged { is_over: true, ..staged });
        };
        let parts = whole_parts(&listed, &claim.parts, claim.first..=until, claim.part)?;
        Ok(Staged { parts, ..staged })
    }

    /// Up to which number the owner of `older` may use parts. `None` when what `claim` goes on with is another upload.
    async fn until(&self, path: &Path, older: Name, claim: &Claim) -> Result<Option<u32>> {
        let lease = self.lease(path, older).await?;
        let is_same = lease.as_ref().is_none_or(|lease| Some(&lease.upload) == claim.upload.as_ref());
        Ok(is_same.then(|| lease.map_or(claim.first - 1, |lease| lease.until)))
    }

    /// Takes away what earlier claims left, when `name` is the newest, and aborts their uploads but the one that is kept.
    async fn retire(&self, path: &Path, records: Records, name: Name, kept: Option<&Upload>) -> Result<()> {
        let own = self.claim_key(path, name);
        let old: Vec<String> = records.into_keys().into_iter().filter(|key| *key != own).collect();
        for upload in self.uploads_of(&old).await? {
            if kept != Some(&upload) {
                self.bucket.abort(&upload).await?;
            }
        }
        self.bucket.delete_all(&old).await
    }
}

/// The parts that hold the session: those that were there when it was claimed, and the owner's own up to the first that is
/// missing. A part that is smaller than the others was the last one of a Commit that failed.
fn whole_parts(
    listed: &[ListedPart],
    claimed: &Numbers,
    own: std::ops::RangeInclusive<u32>,
    size: u64,
) -> Result<Vec<Part>> {
    let find = |number| {
        let found = listed.binary_search_by_key(&number, |part| part.number).ok()?;
        listed.get(found).filter(|part| part.size == size)
    };
    let part = |listed: &ListedPart| Part { number: listed.number, etag: listed.etag.clone() };
    let claimed = claimed.iter().map(|number| find(number).map(part).ok_or_else(lost_part));
    let mut parts = claimed.collect::<Result<Vec<_>>>()?;
    parts.extend(own.map_while(find).map(part));
    Ok(parts)
}

fn lost_part() -> Error {
    Error::new(ErrorKind::Corrupt, "the S3 server has lost a part that it had acknowledged")
}

fn crowded() -> Error {
    let kind = ErrorKind::Unavailable { may_have_happened: true };
    Error::new(kind, "too many callers open this session at once")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(rows: &[(u32, u64)]) -> Vec<ListedPart> {
        let part =
            |(number, size): &(u32, u64)| ListedPart { number: *number, size: *size, etag: format!("e{number}") };
        rows.iter().map(part).collect()
    }

    fn numbers(parts: &[Part]) -> Vec<u32> {
        parts.iter().map(|part| part.number).collect()
    }

    #[test]
    fn a_session_is_what_was_claimed_and_what_follows_without_a_gap() {
        let all = listed(&[(1, 5), (2, 5), (3, 5), (6, 5), (7, 5), (8, 2), (9, 5)]);
        let claimed = Numbers::of(&[Part { number: 1, etag: String::new() }, Part { number: 2, etag: String::new() }]);
        let rows = [(6, 9, vec![1, 2, 6, 7]), (5, 9, vec![1, 2]), (3, 2, vec![1, 2]), (6, 6, vec![1, 2, 6])];
        for (first, until, wanted) in rows {
            let parts = whole_parts(&all, &claimed, first..=until, 5).unwrap();
            assert_eq!(numbers(&parts), wanted, "{first} to {until}");
        }
    }

    #[test]
    fn a_claimed_part_that_is_gone_is_told() {
        let claimed = Numbers::of(&[Part { number: 4, etag: String::new() }]);
        let lost = whole_parts(&listed(&[(1, 5)]), &claimed, 5..=6, 5).unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Corrupt);
    }
}
