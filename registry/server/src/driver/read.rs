//! [`ContentReader`]: one version of a content as a stream of bytes that goes on when its driver dies.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{BoxStream, Stream, StreamExt};
use storagedriver_proto::Path;
use storagedriver_proto::limits::PROGRESS_TIMEOUT;
use storagedriver_proto::v1alpha1::{ReadRequest, ReadResponse};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::answers::Info;
use super::channel::Client;
use super::client::DriverClient;
use super::error::{DriverError, Fault};
use super::from_proto;
use super::retry::{Attempts, Call};
use super::stream::Incoming;

/// The bytes of a content, in order; exactly as many as were asked for, or an error.
pub(crate) struct ContentReader {
    info: Info,
    chunks: BoxStream<'static, Result<Bytes, DriverError>>,
}

impl ContentReader {
    /// Of the whole content, not of the range that is read.
    pub(crate) fn info(&self) -> &Info {
        &self.info
    }
}

impl Stream for ContentReader {
    type Item = Result<Bytes, DriverError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(context)
    }
}

/// A read under way: what is still to come, and of which version.
struct Reading {
    client: DriverClient,
    path: Path,
    info: Info,
    position: u64,
    end: u64,
    source: Option<Source>,
}

/// One stream of a read.
struct Source {
    incoming: Incoming<ReadResponse>,
    /// Data that came with the info, not yet handed on.
    first: Bytes,
}

impl DriverClient {
    /// Opens the content for reading from `offset`: `length` bytes, or as many as there are.
    pub(crate) async fn read(
        &self,
        path: &Path,
        offset: u64,
        length: Option<u64>,
    ) -> Result<ContentReader, DriverError> {
        let request = ReadRequest { path: path.to_string(), offset, length, if_version: String::new() };
        let mut attempts = Attempts::within(Call::READ.deadline);
        let (info, source) = loop {
            let outcome = self.open_source(request.clone(), &attempts).await;
            if let Some(opened) = self.settle(Call::READ, path, &mut attempts, outcome).await? {
                break opened;
            }
        };
        let end = length.map_or(info.size, |length| offset.saturating_add(length).min(info.size));
        let reading = Reading {
            client: self.clone(),
            path: path.clone(),
            info: info.clone(),
            position: offset,
            end,
            source: Some(source),
        };
        Ok(ContentReader { info, chunks: reading.into_stream() })
    }

    async fn open_source(&self, request: ReadRequest, attempts: &Attempts) -> Result<(Info, Source), Fault> {
        let read = |mut client: Client, request| async move { client.read(request).await };
        let mut incoming = self.open_stream(attempts.deadline(), request, read).await?;
        let Some(ReadResponse { info, data }) = incoming.next(attempts.deadline()).await? else {
            return Err(Fault::nonsense("a read ended without an info"));
        };
        Ok((from_proto::content_info(info)?, Source { incoming, first: data }))
    }
}

impl Reading {
    /// Reads one chunk ahead, in a task of its own: a reader that is not polled could not give its stream back.
    fn into_stream(self) -> BoxStream<'static, Result<Bytes, DriverError>> {
        let (chunks, receiver) = channel(1);
        tokio::spawn(self.pump(chunks));
        ReceiverStream::new(receiver).boxed()
    }

    async fn pump(mut self, chunks: Sender<Result<Bytes, DriverError>>) {
        loop {
            let next = tokio::select! {
                () = chunks.closed() => return,
                next = self.next() => next.transpose(),
            };
            let Some(chunk) = next else { return };
            let failed = chunk.is_err();
            if !self.hand_on(&chunks, chunk).await || failed {
                return;
            }
        }
    }

    /// Waits for the reader to take a chunk, and tells whether there still is one. Streams are few: a reader that rests
    /// for long loses its stream, and goes on with another when it comes back.
    async fn hand_on(
        &mut self,
        chunks: &Sender<Result<Bytes, DriverError>>,
        chunk: Result<Bytes, DriverError>,
    ) -> bool {
        let place = match timeout(PROGRESS_TIMEOUT, chunks.reserve()).await {
            Ok(place) => place,
            Err(_) => {
                self.source = None;
                chunks.reserve().await
            }
        };
        place.map(|place| place.send(chunk)).is_ok()
    }

    /// The next bytes, from this stream or from another that goes on where it broke.
    async fn next(&mut self) -> Result<Option<Bytes>, DriverError> {
        let mut attempts = Attempts::within(Call::READ_ON.deadline);
        loop {
            let outcome = self.advance(&attempts).await;
            if outcome.is_err() {
                self.source = None;
            }
            if let Some(chunk) = self.client.settle(Call::READ_ON, &self.path, &mut attempts, outcome).await? {
                return Ok(chunk);
            }
        }
    }

    async fn advance(&mut self, attempts: &Attempts) -> Result<Option<Bytes>, Fault> {
        let left = self.end.saturating_sub(self.position);
        if left == 0 && self.source.is_none() {
            return Ok(None);
        }
        let chunk = match &mut self.source {
            Some(source) => source.next(attempts).await?,
            None => self.source.insert(self.reopen(attempts).await?).next(attempts).await?,
        };
        let Some(data) = chunk else { return self.finish(left) };
        let data = from_proto::chunk(data, left)?;
        self.position += data.len() as u64;
        Ok(Some(data))
    }

    /// The stream ended with OK.
    fn finish(&mut self, left: u64) -> Result<Option<Bytes>, Fault> {
        if left > 0 {
            return Err(Fault::nonsense(format!("a read ended {left} bytes too early")));
        }
        self.source = None;
        Ok(None)
    }

    /// Goes on with the same version: another one would make a mixture of the two.
    async fn reopen(&self, attempts: &Attempts) -> Result<Source, Fault> {
        let request = ReadRequest {
            path: self.path.to_string(),
            offset: self.position,
            length: Some(self.end - self.position),
            if_version: self.info.version.clone(),
        };
        let (info, source) = self.client.open_source(request, attempts).await?;
        if (info.size, &info.version) != (self.info.size, &self.info.version) {
            return Err(Fault::nonsense("a read went on with another version than was asked for"));
        }
        Ok(source)
    }
}

impl Source {
    async fn next(&mut self, attempts: &Attempts) -> Result<Option<Bytes>, Fault> {
        while self.first.is_empty() {
            let Some(ReadResponse { info, data }) = self.incoming.next(attempts.deadline()).await? else {
                return Ok(None);
            };
            if info.is_some() {
                return Err(Fault::nonsense("a second info in one read"));
            }
            self.first = data;
        }
        Ok(Some(std::mem::take(&mut self.first)))
    }
}
