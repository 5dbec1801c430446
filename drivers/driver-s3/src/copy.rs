//! Copies within the server: in one request where the object is small, else in parts that are copied at once.

use std::sync::Arc;

use bytes::Bytes;
use driver_kit::{Error, ErrorKind, Result};
use futures::{StreamExt, TryStreamExt, stream};

use crate::bucket::Object;
use crate::parts::{Part, copy_ranges};
use crate::store::Store;
use crate::uploads::{Completion, Upload};

impl Store {
    /// Makes the object at `target` a copy of `object` at `source`, in one step. VERSION_MISMATCH when it has changed
    /// meanwhile, NOT_FOUND when it has gone.
    pub(crate) async fn copy(
        self: &Arc<Self>,
        source: &str,
        object: &Object,
        target: &str,
        if_absent: bool,
    ) -> Result<()> {
        if object.size == 0 && if_absent {
            return self.bucket.put(target, Bytes::new(), true).await.map(drop);
        }
        // A whole copy knows no condition on its target.
        if object.size <= self.copies.threshold && !if_absent {
            return self.bucket.copy_whole(source, &object.etag, target).await;
        }
        let unfinished = Unfinished::begin(self, target).await?;
        let mut parts: Vec<Part> = self.copy_parts(&unfinished.upload, source, object).await?;
        parts.sort_by_key(|part| part.number);
        match self.bucket.complete(&unfinished.upload, &parts, if_absent).await? {
            Completion::Done => unfinished.keep(),
            // The answer to a first attempt was lost.
            Completion::NoUpload if self.is_there(target, object.size).await? => unfinished.keep(),
            Completion::NoUpload => {
                return Err(Error::new(ErrorKind::Internal, "the copy was aborted by somebody else"));
            }
        }
        Ok(())
    }

    async fn copy_parts(&self, upload: &Upload, source: &str, object: &Object) -> Result<Vec<Part>> {
        let ranges = (1..).zip(copy_ranges(object.size, self.copies.part));
        let copies = ranges.map(|(number, range)| self.bucket.copy_part(upload, number, source, &object.etag, range));
        stream::iter(copies).buffer_unordered(self.copies.at_once).try_collect().await
    }

    async fn is_there(&self, key: &str, size: u64) -> Result<bool> {
        Ok(self.bucket.head(key).await?.is_some_and(|object| object.size == size))
    }
}

/// An upload that is aborted when nobody says that it is to be kept: what fails or is cancelled leaves nothing that costs.
struct Unfinished {
    store: Arc<Store>,
    upload: Upload,
    is_kept: bool,
}

impl Unfinished {
    async fn begin(store: &Arc<Store>, key: &str) -> Result<Self> {
        let upload = store.bucket.begin_upload(key).await?;
        Ok(Unfinished { store: Arc::clone(store), upload, is_kept: false })
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let (store, upload) = (Arc::clone(&self.store), self.upload.clone());
        tokio::spawn(async move {
            if let Err(problem) = store.bucket.abort(&upload).await {
                tracing::warn!(%problem, "an unfinished copy could not be aborted, and will be when it is old");
            }
        });
    }
}
