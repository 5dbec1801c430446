//! Move: a copy, and then the source is deleted. Of all that move one source at once, in whatever process, one does.
//!
//! A mover takes a lease on the source, which Azure gives to one at a time and takes back when its holder is gone. Who wants
//! to change a source under a lease waits; who wants to read it does not.

use std::sync::Arc;
use std::time::Duration;

use azure_core::Uuid;
use azure_storage_blob::models::BlobClientAcquireLeaseOptions;
use driver_kit::{Error, ErrorKind, Info, Path, Result};
use rand::Rng;
use tokio::time::{Instant, sleep};

use crate::container::{Condition, Object};
use crate::copy::Uncopied;
use crate::error::{changing, is_missing, status};
use crate::store::Store;

/// In seconds: the shortest that Azure gives. Who died holds up others for as long.
const LEASE: i32 = 15;
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How long a target is waited for that somebody else moves or writes.
const WAIT: Duration = Duration::from_secs(40);
/// Before another attempt, in milliseconds, at random: of two that wait for each other one is first.
const REST_MS: std::ops::Range<u64> = 50..500;

impl Store {
    pub(crate) async fn rename(self: &Arc<Self>, source: &Path, target: &Path) -> Result<Info> {
        let (from, to) = (self.keys.content(source), self.keys.content(target));
        let until = Instant::now() + WAIT;
        loop {
            let lease = Lease::take(self, &from).await?;
            let moved = lease.while_held(Box::pin(self.rename_under(&lease, &from, &to))).await;
            match moved {
                Ok(object) => {
                    lease.forget();
                    return Ok(object.info());
                }
                Err(Uncopied::Busy(_)) if Instant::now() < until => lease.end().await,
                Err(uncopied) => {
                    lease.end().await;
                    return Err(uncopied.into_error());
                }
            }
            sleep(rest()).await;
        }
    }

    async fn rename_under(self: &Arc<Self>, lease: &Lease, from: &str, to: &str) -> Result<Object, Uncopied> {
        let object = self.container.head(from).await?.ok_or_else(Error::not_found)?;
        let copied = self.copy(from, &object, to, Condition::Any).await?;
        match self.container.delete_if(from, Condition::Any, Some(&lease.id)).await {
            Ok(true) => Ok(copied),
            Ok(false) => Err(lost().into()),
            Err(failure) if matches!(status(&failure), 409 | 412) => Err(lost().with_source(failure).into()),
            Err(failure) => Err(changing(failure).into()),
        }
    }
}

fn rest() -> Duration {
    Duration::from_millis(rand::rng().random_range(REST_MS))
}

fn lost() -> Error {
    let kind = ErrorKind::Unavailable { may_have_happened: true };
    Error::new(kind, "the Azure server took too long, and somebody else may have moved the content by now")
}

/// The right to move a source. It is given back when it is dropped.
struct Lease {
    store: Arc<Store>,
    key: String,
    id: String,
    is_over: bool,
}

impl Lease {
    async fn take(store: &Arc<Store>, key: &str) -> Result<Self> {
        let id = Uuid::new_v4().to_string();
        let options = BlobClientAcquireLeaseOptions { proposed_lease_id: Some(id.clone()), ..Default::default() };
        match store.container.object(key).acquire_lease(LEASE, Some(options)).await {
            Ok(_) => Ok(Lease { store: Arc::clone(store), key: key.to_owned(), id, is_over: false }),
            Err(failure) if is_missing(&failure) => Err(Error::not_found()),
            Err(failure) => Err(changing(failure)),
        }
    }

    /// Renews the lease while `work` goes on. A lease that cannot be renewed is noticed when the source is to be deleted.
    async fn while_held<T>(&self, mut work: impl Future<Output = T> + Unpin) -> T {
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep(RENEW_EVERY) => {
                    let renewed = self.store.container.object(&self.key).renew_lease(self.id.clone(), None).await;
                    if let Err(problem) = renewed {
                        tracing::debug!(%problem, "the lease of a move was not renewed");
                    }
                }
            }
        }
    }

    /// It is gone with the source.
    fn forget(mut self) {
        self.is_over = true;
    }

    async fn end(mut self) {
        self.is_over = true;
        release(&self.store, &self.key, &self.id).await;
    }
}

async fn release(store: &Store, key: &str, id: &str) {
    // When it fails the lease ends by itself.
    if let Err(problem) = store.container.object(key).release_lease(id.to_owned(), None).await {
        tracing::debug!(%problem, "the lease of a move was not given back");
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (store, key, id) = (Arc::clone(&self.store), std::mem::take(&mut self.key), std::mem::take(&mut self.id));
        tokio::spawn(async move { release(&store, &key, &id).await });
    }
}
