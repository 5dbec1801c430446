//! [`Claims`]: one writer of an upload at a time, among the requests of this process.
//!
//! A saved hash state says what the bytes before it were. That stays true only if no two requests add bytes in turn, so a
//! request claims the upload first. The later request wins, as its client has given up on the earlier one: the earlier is
//! told to stop, keeps what it received, and the later goes on from there.
//! What other replicas do is a matter of turns.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oci::UploadId;
use tokio_util::sync::CancellationToken;

use crate::storage::StorageError;

/// How long the earlier request may take to stop.
const HAND_OVER: Duration = Duration::from_secs(20);

/// Who writes which upload.
#[derive(Clone, Default)]
pub(super) struct Claims(Arc<Mutex<HashMap<UploadId, Holder>>>);

struct Holder {
    superseded: CancellationToken,
    ended: CancellationToken,
}

/// The right to write one upload, given back when it is dropped.
pub(super) struct Claim {
    claims: Claims,
    id: UploadId,
    superseded: CancellationToken,
    ended: CancellationToken,
}

impl Claims {
    /// Claims an upload, after whoever has it has stopped.
    pub(super) async fn take(&self, id: UploadId) -> Result<Claim, StorageError> {
        let wait = async {
            loop {
                match self.take_or_supersede(id) {
                    Ok(claim) => return claim,
                    Err(ended) => ended.cancelled().await,
                }
            }
        };
        tokio::time::timeout(HAND_OVER, wait).await.map_err(|_| StorageError::UploadConflict(id))
    }

    /// The claim, when nobody has it.
    pub(super) fn take_idle(&self, id: UploadId) -> Option<Claim> {
        let mut holders = self.holders();
        if holders.contains_key(&id) { None } else { Some(self.hold(&mut holders, id)) }
    }

    /// The claim, or what tells when its holder has stopped.
    fn take_or_supersede(&self, id: UploadId) -> Result<Claim, CancellationToken> {
        let mut holders = self.holders();
        if let Some(holder) = holders.get(&id) {
            holder.superseded.cancel();
            return Err(holder.ended.clone());
        }
        Ok(self.hold(&mut holders, id))
    }

    fn hold(&self, holders: &mut HashMap<UploadId, Holder>, id: UploadId) -> Claim {
        let (superseded, ended) = (CancellationToken::new(), CancellationToken::new());
        holders.insert(id, Holder { superseded: superseded.clone(), ended: ended.clone() });
        Claim { claims: self.clone(), id, superseded, ended }
    }

    /// A panic while the map was held cannot have left it half changed.
    fn holders(&self) -> MutexGuard<'_, HashMap<UploadId, Holder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Completes when a later request wants the upload.
    pub(super) async fn superseded(&self) {
        self.superseded.cancelled().await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.holders().remove(&self.id);
        self.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_later_waits_until_the_earlier_has_stopped() {
        let (claims, id) = (Claims::default(), UploadId::new());
        let earlier = claims.take(id).await.unwrap();
        let later = tokio::spawn({
            let claims = claims.clone();
            async move { claims.take(id).await }
        });
        earlier.superseded().await;
        assert!(claims.take_idle(id).is_none());
        assert!(!later.is_finished());
        drop(earlier);
        drop(later.await.unwrap().unwrap());
        drop(claims.take_idle(id).unwrap());
        assert!(claims.holders().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_never_stops_is_not_waited_for_without_end() {
        let (claims, id) = (Claims::default(), UploadId::new());
        let _stuck = claims.take(id).await.unwrap();
        assert!(matches!(claims.take(id).await, Err(StorageError::UploadConflict(other)) if other == id));
        claims.take(UploadId::new()).await.unwrap();
    }
}
