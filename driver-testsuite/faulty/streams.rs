//! The calls that are streams. Each works only as fast as its caller takes or sends, and ends when it is dropped.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use storagedriver_proto::Path;
use storagedriver_proto::limits::{CHUNK_MAX, CHUNK_PREFERRED};
use storagedriver_proto::v1alpha1 as pb;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::{Kind, Open};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};
use tonic::{Code, Status, Streaming};

use crate::failure::{Result, failure, fenced, offset_invalid};
use crate::fault::Fault;
use crate::service::{Opened, any_path, blocking, content_path};
use crate::store::{Store, Writer};

type Messages<T> = BoxStream<'static, std::result::Result<T, Status>>;

/// A write stream is acknowledged at least this often while data flows.
const ACKNOWLEDGE_EVERY: usize = 1 << 20;

/// How often the writer of a shared store looks whether another process has fenced it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a caller of a faulty driver may take for a message of Read, and for one of Write.
const SLOW: Duration = Duration::from_secs(3);
const SILENT: Duration = Duration::from_millis(10);

// ---------------------------------------------------------------- Read

/// A read under way: what is left of it.
struct Reading {
    file: Arc<File>,
    offset: u64,
    end: u64,
    _permit: OwnedSemaphorePermit,
    /// When the caller took the last message.
    taken: Instant,
    again: (Arc<Opened>, Path),
    _blocks: Option<OwnedMutexGuard<()>>,
}

pub(crate) async fn read(opened: Arc<Opened>, request: pb::ReadRequest) -> Result<Messages<pb::ReadResponse>> {
    let at = content_path(&request.path)?;
    let permit = opened.store.reads().await?;
    let blocks = opened.store.block_others().await;
    let (store, version, place) = (Arc::clone(&opened.store), request.if_version, at.clone());
    let (file, info) = match blocking(move || store.open_content(&place)).await {
        Err(_) if Fault::ReadPrefixEmpty.on() && is_prefix(&opened, &at).await => return Ok(empty_content()),
        result => result?,
    };
    let is_given = !version.is_empty();
    let is_other = is_given && version != info.version && !Fault::IfVersionIgnored.on();
    if is_other && !Fault::IfVersionLate.on() {
        return Err(failure(Reason::VersionMismatch, "the content has another version"));
    }
    let offset = if is_given && Fault::ContinuedFromStart.on() { 0 } else { request.offset };
    let (offset, end) = extent(offset, request.length, info.size)?;
    let info = (!Fault::InfoMissing.on()).then_some(info);
    let first = pb::ReadResponse { info: info.clone(), data: Vec::new().into() };
    let (file, taken) = (Arc::new(file), Instant::now());
    let reading = Reading { file, offset, end, _permit: permit, taken, again: (opened, at), _blocks: blocks };
    let path = request.path;
    let late = is_other.then(|| failure(Reason::VersionMismatch, "the content has another version").status(&path));
    let data = stream::try_unfold(reading, Reading::next).map_err(move |failure| failure.status(&path));
    let data = data.map_ok(move |message| {
        let info = if Fault::InfoTwice.on() { info.clone() } else { None };
        pb::ReadResponse { info, ..message }
    });
    let messages = stream::once(async { Ok(first) }).chain(data).chain(stream::iter(late.map(Err))).boxed();
    if Fault::ReadBuffersAll.on() {
        return Ok(stream::iter(messages.collect::<Vec<_>>().await).boxed());
    }
    Ok(messages)
}

/// From where to where a read goes.
fn extent(offset: u64, length: Option<u64>, size: u64) -> Result<(u64, u64)> {
    let offset = if Fault::OffsetBeyondEmpty.on() { offset.min(size) } else { offset };
    let left = size.checked_sub(offset).ok_or_else(|| offset_invalid(size))?;
    if Fault::OffsetAtEndRefused.on() && left == 0 && size > 0 {
        return Err(offset_invalid(size));
    }
    let length = match length {
        Some(0) if Fault::LengthZeroIsAll.on() => None,
        Some(length) if Fault::LengthOverflows.on() && offset.checked_add(length).is_none() => {
            return Err(failure(Reason::Internal, "the driver cannot count that far"));
        }
        Some(_) if Fault::LengthIgnored.on() => None,
        length => length,
    };
    let short = u64::from(Fault::ReadShort.on() && length.is_none() && left > 300_000);
    Ok((offset, offset + length.map_or(left, |length| length.min(left)) - short))
}

async fn is_prefix(opened: &Opened, at: &Path) -> bool {
    let (store, at) = (Arc::clone(&opened.store), at.clone());
    blocking(move || store.stat(&at)).await.is_ok_and(|info| info.is_prefix)
}

fn empty_content() -> Messages<pb::ReadResponse> {
    let first = pb::ReadResponse { info: Some(pb::Info::default()), data: Vec::new().into() };
    stream::iter([Ok(first)]).boxed()
}

impl Reading {
    async fn next(mut self) -> Result<Option<(pb::ReadResponse, Self)>> {
        let is_slow = self.taken.elapsed() > SLOW && Fault::SlowReaderEnded.on();
        if self.offset == self.end || is_slow {
            return Ok(None);
        }
        if Fault::ReadMixes.on() || Fault::ReadEndsWithContent.on() {
            let ((opened, at), file) = (self.again.clone(), Arc::clone(&self.file));
            let again = blocking(move || opened.store.open_content(&at)).await;
            match again {
                Err(_) if Fault::ReadEndsWithContent.on() => return Ok(None),
                Ok((again, _)) if Fault::ReadMixes.on() => self.file = Arc::new(again),
                _ => self.file = file,
            }
        }
        let most = if Fault::ReadMessageTooLarge.on() { 2 * CHUNK_MAX } else { CHUNK_PREFERRED };
        let length = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX).min(most);
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        let data = match blocking(move || read_at(&file, offset, length)).await {
            Err(failure) if failure.reason == Reason::Corrupt && Fault::ShrunkUnnoticed.on() => return Ok(None),
            data => data?,
        };
        self.offset += data.len() as u64;
        self.taken = Instant::now();
        Ok(Some((pb::ReadResponse { info: None, data: data.into() }, self)))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if Fault::CancelledReadLeaks.on() && self.offset < self.end {
            LEAKED.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&self.file));
        }
    }
}

/// What a leak keeps open.
static LEAKED: Mutex<Vec<Arc<File>>> = Mutex::new(Vec::new());

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
    opened.store.check_walk(&base, after.as_ref())?;
    let path = path.to_owned();
    let pages = stream::try_unfold(after, move |after| page(Arc::clone(&opened.store), base.clone(), after));
    Ok(pages.map_err(move |failure| failure.status(&path)).boxed())
}

async fn page(store: Arc<Store>, base: Path, after: Option<Path>) -> Result<Option<(pb::WalkResponse, Option<Path>)>> {
    if Fault::WalkStops.on() && after.is_some() {
        return Ok(None);
    }
    let is_second = after.is_some();
    let entries = blocking(move || store.walk_page(&base, after.as_ref())).await?;
    let Some(last) = entries.last() else { return Ok(None) };
    if Fault::WalkStartInclusive.on() && is_second && entries.len() == 1 {
        return Ok(None);
    }
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
    target: String,
    is_ended: bool,
    /// Every second acknowledgement.
    is_odd: bool,
    /// Bytes taken since the last acknowledgement.
    silent: usize,
}

pub(crate) fn write(opened: Arc<Opened>, requests: Streaming<pb::WriteRequest>) -> Messages<pb::WriteResponse> {
    let writing = Writing {
        opened,
        requests,
        path: String::new(),
        writer: None,
        target: String::new(),
        is_ended: false,
        is_odd: true,
        silent: 0,
    };
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
                (None, _) => {
                    self.is_ended = true;
                    return Ok(None);
                }
                (Some(Kind::Open(open)), None) => {
                    let answer = self.open(open).await?;
                    (!Fault::OpenUnanswered.on()).then_some(answer)
                }
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
                Some(_) if [Fault::FenceUntold, Fault::FenceMissing, Fault::FenceLate].into_iter().any(Fault::on) => {
                    self.requests.message().await
                }
                Some(writer) => tokio::select! {
                    biased;
                    () = writer.fenced(LOOK_EVERY) => return Err(fenced()),
                    () = tokio::time::sleep(SILENT), if Fault::SlowWriterEnded.on() => {
                        return Err(failure(Reason::Unavailable, "the caller says nothing"));
                    }
                    message = self.requests.message() => message,
                },
            };
            match message {
                Ok(Some(pb::WriteRequest { kind: None })) if Fault::UnknownRefused.on() => {
                    return Err(failure(Reason::RequestInvalid, "there is no such kind of message"));
                }
                Err(status) if Fault::NonsenseKills.on() && status.code() == Code::Internal => std::process::exit(1),
                Ok(Some(pb::WriteRequest { kind: None })) => {}
                Ok(message) => return Ok(message.and_then(|message| message.kind)),
                Err(_) => return Ok(None),
            }
        }
    }

    async fn open(&mut self, open: Open) -> Result<pb::WriteResponse> {
        self.path.clone_from(&open.path);
        let at = content_path(&open.path)?;
        if !open.target.is_empty() && !Fault::HintUnchecked.on() {
            content_path(&open.target)?;
        }
        self.target.clone_from(&open.target);
        let hint = content_path(&open.target).ok();
        let store = Arc::clone(&self.opened.store);
        let writer = blocking(move || Writer::open(store, at, open.offset, hint)).await?;
        self.writer = Some(Arc::new(writer));
        let persisted = if Fault::OpenAnsweredWithZero.on() { 0 } else { open.offset };
        Ok(pb::WriteResponse { persisted, flushed: false })
    }

    async fn data(&mut self, writer: Arc<Writer>, data: Vec<u8>) -> Result<Option<pb::WriteResponse>> {
        if data.len() > CHUNK_MAX && !Fault::MessageTooLargeAccepted.on() {
            return Err(failure(Reason::RequestInvalid, format!("a message carries {CHUNK_MAX} bytes")));
        }
        self.silent += data.len();
        let persisted = blocking(move || writer.append(&data)).await?;
        if self.silent < ACKNOWLEDGE_EVERY || Fault::Unacknowledged.on() {
            return Ok(None);
        }
        self.silent = 0;
        self.is_odd = !self.is_odd;
        let persisted = if self.is_odd && Fault::PersistedDecreases.on() { persisted / 2 } else { persisted };
        Ok(Some(pb::WriteResponse { persisted, flushed: false }))
    }

    async fn flush(&mut self, writer: Arc<Writer>) -> Result<pb::WriteResponse> {
        self.silent = 0;
        let persisted = blocking(move || writer.flush()).await?;
        Ok(pb::WriteResponse { persisted, flushed: !Fault::FlushUnmarked.on() })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let publishes = if self.is_ended { Fault::EndPublishes } else { Fault::CancelPublishes };
        if publishes.on()
            && let (Ok(path), Ok(target)) = (content_path(&self.path), content_path(&self.target))
        {
            let store = Arc::clone(&self.opened.store);
            std::thread::spawn(move || store.publish_all(&path, &target));
        }
    }
}
