//! Copies within the server: begun with one request, then awaited, and looked at.
//!
//! Within an account the server mostly copies before it answers. Where it does not, the target is there while it is not
//! whole yet, and every other request of the driver takes it for nothing until it is. A copy that was aborted, or that nobody
//! waits for any longer, is never told as one that was made.

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::Url;
use azure_storage_blob::models::BlobClientStartCopyFromUrlOptions;
use driver_kit::{Error, ErrorKind, Result};
use tokio::time::sleep;

use crate::container::{Condition, Container, CopyState, Object, Progress, quoted};
use crate::error::{Failure, changing, code, is_busy, is_condition, is_missing, is_other_type};
use crate::patience::brief;
use crate::settings::CopySettings;
use crate::store::Store;

/// Looks are never further apart than this.
const POLL_LAST: Duration = Duration::from_secs(2);
/// How long a URL is good for with which the server reads the source.
const SOURCE_LASTS: Duration = Duration::from_secs(60 * 60);

/// Why there is no copy.
pub(crate) enum Uncopied {
    /// Somebody holds a lease on the target, or copies to it.
    Busy(Failure),
    Failed(Error),
}

impl From<Error> for Uncopied {
    fn from(error: Error) -> Self {
        Uncopied::Failed(error)
    }
}

impl Uncopied {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Uncopied::Busy(failure) => changing(failure),
            Uncopied::Failed(error) => error,
        }
    }
}

impl Store {
    /// Makes the object at `target` a copy of `object` at `source`. VERSION_MISMATCH when that has changed meanwhile,
    /// NOT_FOUND when it has gone.
    pub(crate) async fn copy(
        self: &Arc<Self>,
        source: &str,
        object: &Object,
        target: &str,
        condition: Condition<'_>,
    ) -> Result<Object, Uncopied> {
        let begun = self.container.begin_copy(source, &object.etag, target, condition).await?;
        let pending = (begun.progress == Progress::Pending).then(|| Unfinished {
            store: Arc::clone(self),
            target: target.to_owned(),
            id: Some(begun.id.clone()),
        });
        let seen = self.await_copy(&begun, target).await;
        if let Some(mut pending) = pending {
            pending.id = pending.id.take().filter(|_| seen.is_err());
        }
        match seen? {
            // Somebody has put something else there since.
            None => Ok(Object { copy: None, ..object.clone() }),
            Some(copy) if copy.size == object.size => Ok(copy),
            Some(_) => Err(Error::new(ErrorKind::Corrupt, "the Azure server made a copy of another size").into()),
        }
    }

    /// The copy, once it is whole; `None` when something else has been put there since it was.
    async fn await_copy(&self, begun: &CopyState, target: &str) -> Result<Option<Object>> {
        let CopySettings { poll, looks } = self.copies;
        let (mut rest, mut left) = (poll, looks);
        loop {
            let object = self.container.head_any(target).await?;
            let object = object.filter(|object| object.copy.as_ref().is_some_and(|copy| copy.id == begun.id));
            match object.as_ref().and_then(|object| object.copy.as_ref()).map(|copy| copy.progress) {
                Some(Progress::Done) => return Ok(object),
                None if begun.progress == Progress::Done => return Ok(None),
                None => return Err(given_up("a copy was replaced before it was seen to be whole")),
                Some(Progress::Broken) => return Err(given_up("the Azure server gave up a copy")),
                Some(Progress::Pending) if left == Some(0) => {
                    return Err(given_up("the Azure server took too long for a copy: raise max_retries"));
                }
                Some(Progress::Pending) => {}
            }
            left = left.map(|left| left - 1);
            sleep(rest).await;
            rest = (rest + poll).min(POLL_LAST.max(poll));
        }
    }
}

fn given_up(sentence: &str) -> Error {
    Error::new(ErrorKind::Unavailable { may_have_happened: true }, sentence)
}

impl Container {
    async fn begin_copy(
        &self,
        source: &str,
        etag: &str,
        target: &str,
        condition: Condition<'_>,
    ) -> Result<CopyState, Uncopied> {
        let from = self.copy_source(source).await?;
        match self.start_copy(&from, etag, target, condition).await {
            // What was written in another way is replaced by none of these: it goes first.
            Err(failure) if is_other_type(&failure) && matches!(condition, Condition::Any) => {
                self.delete(target).await?;
                self.start_copy(&from, etag, target, condition).await.map_err(uncopied)
            }
            begun => begun.map_err(uncopied),
        }
    }

    async fn start_copy(
        &self,
        from: &Url,
        etag: &str,
        target: &str,
        condition: Condition<'_>,
    ) -> Result<CopyState, Failure> {
        let options = BlobClientStartCopyFromUrlOptions {
            source_if_match: Some(quoted(etag)),
            if_match: condition.if_match(),
            if_none_match: condition.if_none_match(),
            method_options: brief(),
            ..Default::default()
        };
        let begun = self.object(target).start_copy_from_url(from.to_string(), Some(options)).await?;
        Ok(CopyState::of(begun.headers()).unwrap_or_else(|| CopyState::new("pending", String::new())))
    }

    /// The source as the server reads it: a token of the driver's is good for the target alone.
    async fn copy_source(&self, source: &str) -> Result<Url> {
        let url = self.object(source).url().clone();
        if !self.clients.signer.is_delegated() {
            return Ok(url);
        }
        let signed = self.clients.signer.sign(url.clone(), source, SOURCE_LASTS).await;
        match signed {
            Ok(signed) => Ok(signed.unwrap_or(url)),
            // Within one account the service may do without.
            Err(refused) if refused.kind() == ErrorKind::AccessDenied => Ok(url),
            Err(error) => Err(error),
        }
    }

    async fn abort_copy(&self, target: &str, id: &str) -> Result<(), Failure> {
        self.object(target).abort_copy(id, None).await.map(drop)
    }
}

fn uncopied(failure: Failure) -> Uncopied {
    if is_busy(code(&failure)) {
        return Uncopied::Busy(failure);
    }
    let error = match code(&failure) {
        // Azure says so of a source that is not there, and 404 of a container.
        "CannotVerifyCopySource" => Error::not_found().with_source(failure),
        "BlobAlreadyExists" => Error::already_exists(),
        "SourceConditionNotMet" => Error::new(ErrorKind::VersionMismatch, "the content has changed"),
        _ if is_condition(&failure) => Error::new(ErrorKind::VersionMismatch, "the content has changed"),
        _ if is_missing(&failure) => Error::not_found(),
        _ => changing(failure),
    };
    Uncopied::Failed(error)
}

/// A copy that is aborted when nobody waits for it any longer, and what is there of it is taken away.
struct Unfinished {
    store: Arc<Store>,
    target: String,
    /// `None` once it is finished.
    id: Option<String>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let (store, target) = (Arc::clone(&self.store), std::mem::take(&mut self.target));
        tokio::spawn(async move {
            // It fails where the copy has come to its end, whichever that was.
            let _ended = store.container.abort_copy(&target, &id).await;
            if let Err(problem) = store.clear_broken(&target, &id).await {
                tracing::warn!(%problem, "what is left of a copy that was aborted stays, and does not show");
            }
        });
    }
}

impl Store {
    async fn clear_broken(&self, target: &str, id: &str) -> Result<()> {
        let found = self.container.head_any(target).await?;
        let is_ours = |copy: &CopyState| copy.id == id && copy.progress == Progress::Broken;
        let Some(left) = found.filter(|object| object.copy.as_ref().is_some_and(is_ours)) else { return Ok(()) };
        let condition = Condition::Version(&left.etag);
        self.container.delete_if(target, condition, None).await.map(drop).map_err(changing)
    }
}
