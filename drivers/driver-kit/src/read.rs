//! The answer of Read: what is known of the content, then exactly the bytes that were asked for, or an error.

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use storagedriver_proto::limits::CHUNK_PREFERRED;
use storagedriver_proto::v1alpha1::ReadResponse;

use crate::driver::{Content, ContentStream, Info, ReadRange};
use crate::error::{Error, ErrorKind, Result};

/// The messages of one Read.
pub(crate) type Messages = BoxStream<'static, Result<ReadResponse>>;

/// The messages that carry `range` of `content`.
pub(crate) fn messages(content: Content, range: ReadRange) -> Result<Messages> {
    let Content { info, stream } = content;
    let promised = promised(&info, range)?;
    let first = ReadResponse { info: Some(info.into()), data: Bytes::new() };
    let data = Chunks { stream, pending: Bytes::new(), left: promised };
    let data = stream::try_unfold(data, |mut chunks| async move {
        let chunk = chunks.next().await?;
        Ok(chunk.map(|chunk| (ReadResponse { info: None, data: chunk }, chunks)))
    });
    Ok(stream::once(async { Ok(first) }).chain(data).boxed())
}

/// How many bytes `range` has in content of this size.
fn promised(info: &Info, range: ReadRange) -> Result<u64> {
    let Info::Content { size, .. } = *info else {
        return Err(Error::new(ErrorKind::NotFound, "there is no content at this path"));
    };
    let Some(rest) = size.checked_sub(range.offset) else {
        let message = format!("the offset {} lies beyond the end, which is at {size}", range.offset);
        return Err(Error::new(ErrorKind::OffsetInvalid { persisted: size }, message));
    };
    Ok(range.length.map_or(rest, |length| length.min(rest)))
}

/// The driver's bytes, cut to the size that costs least.
struct Chunks {
    stream: ContentStream,
    pending: Bytes,
    left: u64,
}

impl Chunks {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        while self.pending.is_empty() {
            self.pending = self.stream.try_next().await?.ok_or_else(|| self.corrupt("shorter"))?;
        }
        let chunk = self.pending.split_to(self.pending.len().min(CHUNK_PREFERRED));
        self.left = self.left.checked_sub(chunk.len() as u64).ok_or_else(|| self.corrupt("longer"))?;
        Ok(Some(chunk))
    }

    fn corrupt(&self, how: &str) -> Error {
        let message = format!("the content is {how} than its size says, with {} bytes to come", self.left);
        Error::new(ErrorKind::Corrupt, message)
    }
}
