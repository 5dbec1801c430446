//! What the server can do, found out by trying when the store is opened.

use bytes::Bytes;
use driver_kit::{Error, ErrorKind, Path, Result, invalid};

use crate::store::{PROBES, Store};
use crate::uploads::Completion;

impl Store {
    /// The bucket is there and can be listed, in the words of who configures it.
    pub(crate) async fn check_bucket(&self) -> Result<()> {
        self.probe().await.map_err(|error| match error.kind() {
            ErrorKind::Unavailable { .. } if error.to_string().contains("bucket") => {
                invalid("bucket", "names a bucket that does not exist").with_source(error)
            }
            _ => error,
        })
    }

    /// The server answers, and lets the driver in.
    pub(crate) async fn probe(&self) -> Result<()> {
        self.bucket.has_any(self.keys.root()).await.map(drop)
    }

    /// Whether the server heeds `If-None-Match` when it puts an object and when it completes an upload. Some ignore it,
    /// others refuse it: so objects are put twice, where nothing else is.
    pub(crate) async fn heeds_conditions(&self) -> Result<bool> {
        let key = format!("{}{:016x}", self.keys.own(PROBES, &Path::root()), rand::random::<u64>());
        let heeded = self.heeds_conditions_at(&key).await;
        self.bucket.delete(&key).await?;
        match heeded {
            Err(error) if matches!(error.kind(), ErrorKind::Internal) => {
                tracing::info!(%error, "the S3 server takes no conditions: if_absent is not offered");
                Ok(false)
            }
            heeded => heeded,
        }
    }

    async fn heeds_conditions_at(&self, key: &str) -> Result<bool> {
        self.bucket.put(key, Bytes::new(), true).await?;
        Ok(is_refused(self.bucket.put(key, Bytes::new(), true).await.map(drop))?
            && self.heeds_when_completing(key).await?)
    }

    async fn heeds_when_completing(&self, key: &str) -> Result<bool> {
        let upload = self.bucket.begin_upload(key).await?;
        let completed = match self.bucket.upload_part(&upload, 1, Bytes::from_static(b"probe")).await {
            Ok(part) => self.bucket.complete(&upload, &[part], true).await,
            Err(error) => Err(error),
        };
        self.bucket.abort(&upload).await?;
        match completed {
            Ok(Completion::NoUpload) => Err(Error::new(ErrorKind::Internal, "an upload vanished")),
            completed => is_refused(completed.map(drop)),
        }
    }
}

/// Whether a condition that is not met was heeded.
fn is_refused(outcome: Result<()>) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(true),
        Err(error) => Err(error),
    }
}
