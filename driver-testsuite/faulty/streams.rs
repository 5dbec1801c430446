//! The calls that are streams. Each works only as fast as its caller takes or sends, and ends when it is dropped.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use storagedriver_proto::Path;
use storagedriver_proto::limits::{CHUNK_MAX, CHUNK_PREFERRED};
use storagedriver_proto::v1alpha1 as pb;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::{Kind, Open};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Status, Streaming};

use crate::failure::{Result, failure, fenced, offset_invalid};
use crate::service::{Opened, any_path, blocking, content_path};
use crate::store::{Store, Writer};

type Messages<T> = BoxStream<'static, std::result::Result<T, Status>>;

/// A write stream is acknowledged at least this often while data flows.
const ACKNOWLEDGE_EVERY: usize = 1 << 20;

/// How often the writer of a shared store looks whether another process has fenced it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

// ---------------------------------------------------------------- Read

/// A read under way: what is left of it.
struct Reading {
    file: Arc<File>,
    offset: u64,
    end: u64,
    _permit: OwnedSemaphorePermit,
}

pub(crate) async fn read(opened: Arc<Opened>, request: pb::ReadRequest) -> Result<Messages<pb::ReadResponse>> {
    let at = content_path(&request.path)?;
    let permit = opened.store.reads().await?;
    let (store, version) = (Arc::clone(&opened.store), request.if_version);
    let (file, info) = blocking(move || store.open_content(&at)).await?;
    if !version.is_empty() && version != info.version {
        return Err(failure(Reason::VersionMismatch, "the content has another version"));
    }
    let left = info.size.checked_sub(request.offset).ok_or_else(|| offset_invalid(info.size))?;
    let end = request.offset + request.length.map_or(left, |length| length.min(left));
    let first = pb::ReadResponse { info: Some(info), data: Vec::new().into() };
    let reading = Reading { file: Arc::new(file), offset: request.offset, end, _permit: permit };
    let path = request.path;
    let data = stream::try_unfold(reading, Reading::next).map_err(move |failure| failure.status(&path));
    Ok(stream::once(async { Ok(first) }).chain(data).boxed())
}

impl Reading {
    async fn next(mut self) -> Result<Option<(pb::ReadResponse, Self)>> {
        if self.offset == self.end {
            return Ok(None);
        }
        let length = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX).min(CHUNK_PREFERRED);
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        let data = blocking(move || read_at(&file, offset, length)).await?;
        self.offset += data.len() as u64;
        Ok(Some((pb::ReadResponse { info: None, data: data.into() }, self)))
    }
}

fn read_at(file: &File, offset: u64, length: usize) -> Result<Vec<u8>> {
    let mut data = vec![0; length];
    let read = file.read_at(&mut data, offset)?;
    if read == 0 {
        return Err(failure(Reason::Corrupt, "the content is shorter than it was"));
    }
    data.truncate(read);
    Ok(data)
}

// ---------------------------------------------------------------- Walk

pub(crate) fn walk(opened: Arc<Opened>, path: &str, start_after: &str) -> Result<Messages<pb::WalkResponse>> {
    let base = any_path(path)?;
    let after = if start_after.is_empty() { None } else { Some(content_path(start_after)?) };
    if after.as_ref().is_some_and(|after| !after.is_below(&base)) {
        return Err(failure(Reason::RequestInvalid, "start_after is below the path"));
    }
    let path = path.to_owned();
    let pages = stream::try_unfold(after, move |after| page(Arc::clone(&opened.store), base.clone(), after));
    Ok(pages.map_err(move |failure| failure.status(&path)).boxed())
}

async fn page(store: Arc<Store>, base: Path, after: Option<Path>) -> Result<Option<(pb::WalkResponse, Option<Path>)>> {
    let entries = blocking(move || store.walk_page(&base, after.as_ref())).await?;
    let Some(last) = entries.last() else { return Ok(None) };
    let last = any_path(&last.path)?;
    Ok(Some((pb::WalkResponse { entries }, Some(last))))
}

// ---------------------------------------------------------------- Write

/// A write stream. Its end, in whatever way, means nothing.
struct Writing {
    opened: Arc<Opened>,
    requests: Streaming<pb::WriteRequest>,
    path: String,
    writer: Option<Arc<Writer>>,
    /// Bytes taken since the last acknowledgement.
    silent: usize,
}

pub(crate) fn write(opened: Arc<Opened>, requests: Streaming<pb::WriteRequest>) -> Messages<pb::WriteResponse> {
    let writing = Writing { opened, requests, path: String::new(), writer: None, silent: 0 };
    stream::try_unfold(writing, Writing::next).boxed()
}

impl Writing {
    async fn next(mut self) -> std::result::Result<Option<(pb::WriteResponse, Self)>, Status> {
        match self.answer().await {
            Ok(answer) => Ok(answer.map(|answer| (answer, self))),
            Err(failure) => Err(failure.status(&self.path)),
        }
    }

    /// Takes messages until there is something to answer.
    async fn answer(&mut self) -> Result<Option<pb::WriteResponse>> {
        loop {
            let answer = match (self.message().await?, self.writer.clone()) {
                (None, _) => return Ok(None),
                (Some(Kind::Open(open)), None) => Some(self.open(open).await?),
                (Some(Kind::Data(data)), Some(writer)) => self.data(writer, data.to_vec()).await?,
                (Some(Kind::Flush(_)), Some(writer)) => Some(self.flush(writer).await?),
                _ => return Err(failure(Reason::RequestInvalid, "open comes first, and once")),
            };
            if answer.is_some() {
                return Ok(answer);
            }
        }
    }

    /// The next message of a kind that is known; none at the end, which is also how a lost caller looks.
    async fn message(&mut self) -> Result<Option<Kind>> {
        loop {
            let message = match &self.writer {
                None => self.requests.message().await,
                Some(writer) => tokio::select! {
                    biased;
                    () = writer.fenced(LOOK_EVERY) => return Err(fenced()),
                    message = self.requests.message() => message,
                },
            };
            match message {
                Ok(Some(pb::WriteRequest { kind: None })) => {}
                Ok(message) => return Ok(message.and_then(|message| message.kind)),
                Err(_) => return Ok(None),
            }
        }
    }

    async fn open(&mut self, open: Open) -> Result<pb::WriteResponse> {
        self.path.clone_from(&open.path);
        let at = content_path(&open.path)?;
        if !open.target.is_empty() {
            content_path(&open.target)?;
        }
        let store = Arc::clone(&self.opened.store);
        let writer = blocking(move || Writer::open(store, at, open.offset)).await?;
        self.writer = Some(Arc::new(writer));
        Ok(pb::WriteResponse { persisted: open.offset, flushed: false })
    }

    async fn data(&mut self, writer: Arc<Writer>, data: Vec<u8>) -> Result<Option<pb::WriteResponse>> {
        if data.len() > CHUNK_MAX {
            return Err(failure(Reason::RequestInvalid, format!("a message carries {CHUNK_MAX} bytes")));
        }
        self.silent += data.len();
        let persisted = blocking(move || writer.append(&data)).await?;
        if self.silent < ACKNOWLEDGE_EVERY {
            return Ok(None);
        }
        self.silent = 0;
        Ok(Some(pb::WriteResponse { persisted, flushed: false }))
    }

    async fn flush(&mut self, writer: Arc<Writer>) -> Result<pb::WriteResponse> {
        self.silent = 0;
        let persisted = blocking(move || writer.flush()).await?;
        Ok(pb::WriteResponse { persisted, flushed: true })
    }
}
