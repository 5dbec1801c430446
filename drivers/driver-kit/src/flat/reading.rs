//! Reads of one version of an object, however often its connection breaks.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use tokio::time::timeout;

use crate::driver::{Content, Info, ReadRange};
use crate::error::{Error, ErrorKind, Result};

/// Breaks without a byte in between after which the store is held to be down.
const BREAKS_MAX: u32 = 4;
/// How long a reader that wants bytes waits for some.
const STALL: Duration = Duration::from_secs(20);
/// Beyond every object. Not every server reads the largest numbers of the contract.
const POSITION_MAX: u64 = 1 << 60;

/// Why something broke off.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Bytes over one connection.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, Cause>> + Send>>;

/// An object and some of its bytes.
pub struct Opened {
    /// [`Info::Content`] of the whole object, whatever was asked for.
    pub info: Info,
    /// The bytes that were asked for.
    pub chunks: Chunks,
}

/// Why there are no bytes to read.
#[derive(Debug)]
pub enum Unread {
    /// There is no such object.
    Missing,
    /// It has another version.
    OtherVersion,
    /// The range lies beyond the end, or the object is empty.
    BeyondEnd,
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Unread::Failed(error)
    }
}

impl Unread {
    /// Where it can mean nothing but itself.
    pub fn into_error(self) -> Error {
        match self {
            Unread::Missing => Error::not_found(),
            Unread::OtherVersion => Error::changed(),
            Unread::BeyondEnd => Error::new(ErrorKind::Internal, "the server does not find a range that it has"),
            Unread::Failed(error) => error,
        }
    }
}

/// A store whose objects are read by keys.
pub trait Objects: Send + Sync + 'static {
    /// The bytes of the object at `key` that the header `Range` (RFC 9110, section 14.2) names, all without one; of this
    /// `version` only, when one is given.
    fn open(
        &self,
        key: &str,
        range: Option<&str>,
        version: Option<&str>,
    ) -> impl Future<Output = Result<Opened, Unread>> + Send;

    /// [`Info::Content`] of the object at `key`; `None` without one.
    fn find(&self, key: &str) -> impl Future<Output = Result<Option<Info>>> + Send;
}

/// The bytes of `range` of the object at `key`, all of one version.
pub async fn read<S: Objects>(
    store: &Arc<S>,
    key: String,
    range: ReadRange,
    if_version: Option<&str>,
) -> Result<Content> {
    let (info, chunks) = match open(&**store, &key, range, if_version).await {
        Ok(Opened { info, chunks }) => (info, Some(chunks)),
        Err(Unread::BeyondEnd) => (without_bytes(&**store, &key, range, if_version).await?, None),
        Err(unread) => return Err(unread.into_error()),
    };
    let (size, version) = size_and_version(&info)?;
    let end = range.length.map_or(size, |length| range.offset.saturating_add(length).min(size));
    let (store, left) = (Arc::clone(store), range.offset..end);
    let reading = Reading { store, key, version, chunks, left, breaks: 0 };
    let next = |mut reading: Reading<S>| async move {
        let chunk = reading.next().await?;
        Ok(chunk.map(|chunk| (chunk, reading)))
    };
    Ok(Content { info, stream: stream::try_unfold(reading, next).boxed() })
}

async fn open(store: &impl Objects, key: &str, range: ReadRange, version: Option<&str>) -> Result<Opened, Unread> {
    if range.length == Some(0) || range.offset >= POSITION_MAX {
        return Err(Unread::BeyondEnd);
    }
    let is_whole = range.offset == 0 && range.length.is_none();
    let header = (!is_whole || version.is_some()).then(|| range_header(range));
    store.open(key, header.as_deref(), version).await
}

/// The object of which no bytes were asked for that it has.
async fn without_bytes(store: &impl Objects, key: &str, range: ReadRange, if_version: Option<&str>) -> Result<Info> {
    let info = store.find(key).await?.ok_or_else(Error::not_found)?;
    let (size, version) = size_and_version(&info)?;
    if if_version.is_some_and(|wanted| wanted != version) {
        return Err(Error::changed());
    }
    if range.offset > size {
        return Err(Error::offset_invalid(size));
    }
    Ok(info)
}

fn size_and_version(info: &Info) -> Result<(u64, String)> {
    match info {
        Info::Content { size, version, .. } => Ok((*size, version.clone())),
        Info::Prefix => Err(Error::not_found()),
    }
}

fn range_header(range: ReadRange) -> String {
    let first = range.offset;
    match range.length {
        Some(length) => format!("bytes={first}-{}", first.saturating_add(length).min(POSITION_MAX) - 1),
        None => format!("bytes={first}-"),
    }
}

/// A read under way.
struct Reading<S> {
    store: Arc<S>,
    key: String,
    version: String,
    chunks: Option<Chunks>,
    left: Range<u64>,
    /// Since the last byte.
    breaks: u32,
}

impl<S: Objects> Reading<S> {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let unavailable = ErrorKind::Unavailable { may_have_happened: false };
        while self.left.start < self.left.end {
            let Some(chunks) = &mut self.chunks else {
                self.reopen().await?;
                continue;
            };
            match timeout(STALL, chunks.next()).await {
                Ok(Some(Ok(chunk))) => return Ok(Some(self.took(chunk))),
                Ok(Some(Err(cause))) => self.broke(unavailable, cause)?,
                // An end before the size is the fault of whatever is between, until it happens again and again.
                Ok(None) => self.broke(ErrorKind::Corrupt, "the object is shorter than its size")?,
                Err(stalled) => self.broke(unavailable, stalled)?,
            }
        }
        // The connection is of no more use, and a reader may be kept.
        self.chunks = None;
        Ok(None)
    }

    /// Goes on where the last connection broke, in the same version: another one would make a mixture.
    async fn reopen(&mut self) -> Result<()> {
        let range = ReadRange { offset: self.left.start, length: Some(self.left.end - self.left.start) };
        let opened = open(&*self.store, &self.key, range, Some(&self.version)).await;
        self.chunks = Some(opened.map_err(Unread::into_error)?.chunks);
        Ok(())
    }

    fn took(&mut self, mut chunk: Bytes) -> Bytes {
        chunk.truncate(usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX));
        self.left.start += chunk.len() as u64;
        self.breaks = 0;
        chunk
    }

    fn broke(&mut self, kind: ErrorKind, cause: impl Into<Cause>) -> Result<()> {
        self.chunks = None;
        self.breaks += 1;
        if self.breaks < BREAKS_MAX {
            return Ok(());
        }
        let message = format!("the content breaks off at byte {} again and again", self.left.start);
        Err(Error::new(kind, message).with_source(cause))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::SystemTime;

    use futures::TryStreamExt;

    use super::*;

    const SIZE: u64 = 40;

    /// An object that breaks off after so many bytes of each connection.
    struct Breaking(Mutex<Vec<u64>>);

    impl Objects for Breaking {
        async fn open(&self, _: &str, range: Option<&str>, _: Option<&str>) -> Result<Opened, Unread> {
            let first = range.map_or(0, |range| range[6..].split_once('-').unwrap().0.parse().unwrap());
            if first >= SIZE {
                return Err(Unread::BeyondEnd);
            }
            let end = SIZE.min(first + self.0.lock().unwrap().pop().unwrap_or(0));
            let chunk = (first..end).map(|place| place as u8).collect::<Vec<_>>();
            let chunks = (end > first).then(|| Ok(chunk.into())).into_iter().chain([Err("broken".into())]);
            Ok(Opened { info: info(), chunks: stream::iter(chunks).boxed() })
        }

        async fn find(&self, _: &str) -> Result<Option<Info>> {
            Ok(Some(info()))
        }
    }

    fn info() -> Info {
        Info::Content { size: SIZE, modified: SystemTime::UNIX_EPOCH, version: "1".to_owned() }
    }

    async fn read_breaking(offset: u64, length: Option<u64>, breaks: &[u64]) -> Result<Vec<u8>> {
        let store = Arc::new(Breaking(Mutex::new(breaks.to_vec())));
        let content = read(&store, "key".to_owned(), ReadRange { offset, length }, Some("1")).await?;
        Ok(content.stream.try_collect::<Vec<Bytes>>().await?.concat())
    }

    #[tokio::test]
    async fn a_read_goes_on_where_it_broke_and_ends_where_the_object_does() {
        let breaks = [30, 0, 7, 0, 0, 2];
        assert_eq!(read_breaking(10, Some(50), &breaks).await.unwrap(), (10..40).collect::<Vec<u8>>());
        assert_eq!(read_breaking(0, None, &[40]).await.unwrap(), (0..40).collect::<Vec<u8>>());
    }

    #[tokio::test]
    async fn a_store_that_gives_nothing_again_and_again_is_down() {
        let failure = read_breaking(10, None, &[5]).await.unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Unavailable { may_have_happened: false });
        assert!(failure.to_string().contains("at byte 15"), "{failure}");
    }

    #[tokio::test]
    async fn no_bytes_are_read_where_there_are_none() {
        assert_eq!(read_breaking(3, Some(0), &[]).await.unwrap(), b"");
        assert_eq!(read_breaking(SIZE, None, &[]).await.unwrap(), b"");
        for offset in [SIZE + 1, u64::MAX] {
            let refused = read_breaking(offset, Some(1), &[]).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::OffsetInvalid { persisted: SIZE });
        }
    }

    #[test]
    fn ranges_are_written_as_http_has_them() {
        let header = |offset, length| range_header(ReadRange { offset, length });
        assert_eq!(header(0, None), "bytes=0-");
        assert_eq!(header(3, Some(4)), "bytes=3-6");
        assert_eq!(header(3, Some(u64::MAX)), format!("bytes=3-{}", POSITION_MAX - 1));
    }
}
