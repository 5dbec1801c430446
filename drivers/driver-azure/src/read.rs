//! Reads: one version of an object, however often its connection breaks.

use std::sync::Arc;

use azure_core::http::AsyncResponseBody;
use bytes::Bytes;
use driver_kit::{Content, Error, ErrorKind, Path, ReadRange, Result};
use futures::{StreamExt, stream};
use tokio::time::timeout;

use crate::container::{Object, Opened, STALL, Unread, Wanted};
use crate::error::{not_found, offset_invalid};
use crate::store::Store;

/// Breaks without a byte in between after which the server is held to be down.
const BREAKS_MAX: u32 = 4;
/// Beyond every object.
const POSITION_MAX: u64 = 1 << 60;

impl Store {
    pub(crate) async fn read(
        self: &Arc<Self>,
        path: &Path,
        range: ReadRange,
        if_version: Option<&str>,
    ) -> Result<Content> {
        let key = self.keys.content(path);
        let (object, body) = match self.open_range(&key, range, if_version).await {
            Ok(Opened { object, body }) => (object, Some(body)),
            Err(Unread::BeyondEnd) => (self.object_without_bytes(&key, range, if_version).await?, None),
            Err(unread) => return Err(unread.into_error()),
        };
        let end = range.length.map_or(object.size, |length| range.offset.saturating_add(length).min(object.size));
        let info = object.info();
        let reader =
            Reader { store: Arc::clone(self), key, etag: object.etag, body, next: range.offset, end, breaks: 0 };
        let stream = stream::try_unfold(reader, |mut reader| async move {
            let chunk = reader.next().await?;
            Ok(chunk.map(|chunk| (chunk, reader)))
        });
        Ok(Content { info, stream: Box::pin(stream) })
    }

    async fn open_range(&self, key: &str, range: ReadRange, etag: Option<&str>) -> Result<Opened, Unread> {
        // No object is as large as the numbers of the contract.
        if range.length == Some(0) || range.offset >= POSITION_MAX {
            return Err(Unread::BeyondEnd);
        }
        if range.offset == 0 && range.length.is_none() && etag.is_none() {
            return self.container.get(key, Wanted::Whole).await;
        }
        self.container.get(key, Wanted::Range { range: &header(range), etag }).await
    }

    /// The object of which no bytes were asked for that it has.
    async fn object_without_bytes(&self, key: &str, range: ReadRange, etag: Option<&str>) -> Result<Object> {
        let object = self.container.head(key).await?.ok_or_else(not_found)?;
        if etag.is_some_and(|etag| etag != object.etag) {
            return Err(Unread::OtherVersion.into_error());
        }
        if range.offset > object.size {
            return Err(offset_invalid(object.size));
        }
        Ok(object)
    }
}

fn header(range: ReadRange) -> String {
    match range.length {
        Some(length) => {
            let last = range.offset.saturating_add(length).min(POSITION_MAX) - 1;
            format!("bytes={}-{last}", range.offset)
        }
        None => format!("bytes={}-", range.offset),
    }
}

/// A read under way.
struct Reader {
    store: Arc<Store>,
    key: String,
    etag: String,
    body: Option<AsyncResponseBody>,
    next: u64,
    end: u64,
    /// Since the last byte.
    breaks: u32,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.next < self.end {
            let Some(body) = &mut self.body else {
                self.reopen().await?;
                continue;
            };
            match timeout(STALL, body.next()).await {
                Ok(Some(Ok(chunk))) => return Ok(Some(self.took(chunk))),
                Ok(Some(Err(problem))) => self.broke(ErrorKind::Unavailable { may_have_happened: false }, problem)?,
                // An end before the size is the fault of whatever is between, until it happens again and again.
                Ok(None) => self.broke(ErrorKind::Corrupt, "the object is shorter than its size")?,
                Err(stalled) => self.broke(ErrorKind::Unavailable { may_have_happened: false }, stalled)?,
            }
        }
        // The connection is of no more use, and a reader may be kept.
        self.body = None;
        Ok(None)
    }

    fn took(&mut self, mut chunk: Bytes) -> Bytes {
        chunk.truncate(usize::try_from(self.end - self.next).unwrap_or(usize::MAX));
        self.next += chunk.len() as u64;
        self.breaks = 0;
        chunk
    }

    fn broke(&mut self, kind: ErrorKind, problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Result<()> {
        self.body = None;
        self.breaks += 1;
        if self.breaks < BREAKS_MAX {
            return Ok(());
        }
        Err(Error::new(kind, format!("the content breaks off at byte {} again and again", self.next))
            .with_source(problem))
    }

    /// Goes on where the last connection broke, in the same version: another one would make a mixture.
    async fn reopen(&mut self) -> Result<()> {
        let range = ReadRange { offset: self.next, length: Some(self.end - self.next) };
        let opened = self.store.open_range(&self.key, range, Some(&self.etag)).await;
        self.body = Some(opened.map_err(Unread::into_error)?.body);
        Ok(())
    }
}
