//! A Write stream: `open`, then data and flushes, each acknowledged as the protocol asks.
//!
//! It runs as a task of its own, so that an operation of the session is finished also when the caller vanishes in its
//! midst. The end of the stream, in whatever way, means nothing: the session is closed, and what was persisted stays.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use storagedriver_proto::v1alpha1::write_request::{Kind, Open};
use storagedriver_proto::v1alpha1::{WriteRequest, WriteResponse};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tonic::{Status, Streaming};

use crate::call::outcome;
use crate::check;
use crate::driver::StorageDriver;
use crate::error::Result;
use crate::sessions::Writer;
use crate::store::Opened;

/// The stream is acknowledged at least this often while data flows; the protocol asks for eight times less.
const ACKNOWLEDGE_EVERY: usize = 256 << 10;

/// Acknowledgements that wait for the caller to read them.
const ANSWERS_MAX: usize = 16;

type Answer = Result<WriteResponse, Status>;

/// Starts serving `requests`; the answers come out of the channel.
pub(crate) fn start<D: StorageDriver>(
    opened: Arc<Opened<D>>,
    mut requests: Streaming<WriteRequest>,
) -> Receiver<Answer> {
    let (answers, receiver) = channel(ANSWERS_MAX);
    tokio::spawn(async move {
        let mut path = String::new();
        let work = serve(&opened, &mut requests, &answers, &mut path);
        let caught = AssertUnwindSafe(work).catch_unwind().await;
        if let Err(status) = outcome(&path, caught) {
            // A caller that is gone needs no answer.
            let _ = answers.send(Err(status)).await;
        }
    });
    receiver
}

async fn serve<D: StorageDriver>(
    opened: &Opened<D>,
    requests: &mut Streaming<WriteRequest>,
    answers: &Sender<Answer>,
    path: &mut String,
) -> Result<()> {
    let open = match next(requests).await? {
        Some(Kind::Open(open)) => open,
        Some(_) => return Err(check::request_invalid("the first message of a write stream is open")),
        None => return Ok(()),
    };
    path.clone_from(&open.path);
    let stream = WriteStream::open(opened, &open, answers).await?;
    stream.run(requests).await
}

/// The next message; `None` at the end of the stream, which is also how a cancellation looks. Kinds that a newer registry
/// may know are passed over.
async fn next(requests: &mut Streaming<WriteRequest>) -> Result<Option<Kind>> {
    loop {
        match requests.message().await {
            Ok(Some(WriteRequest { kind: Some(kind) })) => return Ok(Some(kind)),
            Ok(Some(WriteRequest { kind: None })) => {}
            Ok(None) => return Ok(None),
            Err(status) => return Err(check::request_invalid("the write stream broke off").with_source(status)),
        }
    }
}

struct WriteStream<'a, D: StorageDriver> {
    writer: Writer<D::Session>,
    answers: &'a Sender<Answer>,
    /// The highest `persisted` that was told; it never decreases on one stream.
    persisted: u64,
    /// Bytes received since the last acknowledgement.
    silent: usize,
}

impl<'a, D: StorageDriver> WriteStream<'a, D> {
    async fn open(opened: &Opened<D>, open: &Open, answers: &'a Sender<Answer>) -> Result<Self> {
        let path = check::content_path(&open.path)?;
        let target = check::optional_path(&open.target)?;
        let session = opened.driver.open(&path, open.offset, target.as_ref());
        let writer = opened.sessions.open(&path, session).await?;
        let mut stream = WriteStream { writer, answers, persisted: open.offset, silent: 0 };
        stream.acknowledge(open.offset, false).await;
        Ok(stream)
    }

    /// Serves until the caller ends the stream, vanishes, errs or is fenced.
    async fn run(mut self, requests: &mut Streaming<WriteRequest>) -> Result<()> {
        loop {
            let message = tokio::select! {
                biased;
                fenced = self.writer.fenced() => return Err(fenced),
                () = self.answers.closed() => return Ok(()),
                message = next(requests) => message?,
            };
            match message {
                Some(Kind::Data(data)) => self.write(data).await?,
                Some(Kind::Flush(_)) => self.flush().await?,
                Some(Kind::Open(_)) => return Err(check::request_invalid("a write stream is opened once")),
                None => return Ok(()),
            }
        }
    }

    async fn write(&mut self, data: Bytes) -> Result<()> {
        check::chunk_size(data.len())?;
        self.silent += data.len();
        let persisted = self.writer.write(data).await?;
        if self.silent >= ACKNOWLEDGE_EVERY {
            self.acknowledge(persisted, false).await;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let persisted = self.writer.flush().await?;
        self.acknowledge(persisted, true).await;
        Ok(())
    }

    async fn acknowledge(&mut self, persisted: u64, flushed: bool) {
        self.persisted = self.persisted.max(persisted);
        self.silent = 0;
        // A caller that is gone needs no answer; the next turn of the loop finds that out.
        let _ = self.answers.send(Ok(WriteResponse { persisted: self.persisted, flushed })).await;
    }
}
