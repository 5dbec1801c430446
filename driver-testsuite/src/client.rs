//! The generated clients with less to write for each call. Nothing is checked, repeated or put right here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use storagedriver_proto::v1alpha1 as pb;
use storagedriver_proto::v1alpha1::capabilities::Durability;
use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use storagedriver_proto::v1alpha1::write_request::{Flush, Kind, Open};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Channel;

use crate::journal::Journal;
use crate::stream::Messages;

/// Calls of [`Client::put_all`] at once.
const PUTS_AT_ONCE: usize = 32;

pub(crate) type Reply<T> = Result<T, Status>;

/// A caller of one driver, with one connection for calls and one for streams, below a root path of its own.
#[derive(Debug, Clone)]
pub struct Client {
    calls: Channel,
    streams: Channel,
    root: String,
    capabilities: pb::Capabilities,
    journal: Journal,
    seed: u64,
    descriptor_socket: PathBuf,
}

impl Client {
    pub(crate) fn new(calls: Channel, streams: Channel, root: String, seed: u64, journal: Journal) -> Self {
        let (capabilities, descriptor_socket) = Default::default();
        Client { calls, streams, root, capabilities, journal, seed, descriptor_socket }
    }

    pub(crate) fn with_descriptor_socket(mut self, socket: PathBuf) -> Self {
        self.descriptor_socket = socket;
        self
    }

    /// Where descriptors are asked for, if the driver has them.
    pub(crate) fn descriptor_socket(&self) -> &Path {
        &self.descriptor_socket
    }

    pub(crate) fn with_capabilities(mut self, capabilities: pb::Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// The same caller for another case: below another root, with another seed, and writing into that case's journal.
    pub(crate) fn for_case(&self, root: String, seed: u64, journal: Journal) -> Self {
        Client { root, seed, journal, ..self.clone() }
    }

    /// Where the case's calls and remarks are noted.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The seed of everything that this case does at random.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Chance that comes out alike for one seed.
    pub fn random(&self) -> rand::rngs::StdRng {
        rand::SeedableRng::seed_from_u64(self.seed)
    }

    /// What Configure answered.
    pub fn capabilities(&self) -> &pb::Capabilities {
        &self.capabilities
    }

    /// Whether what was acknowledged survives the death of the process.
    pub(crate) fn survives(&self) -> bool {
        !matches!(self.capabilities.durability(), Durability::Unspecified | Durability::Volatile)
    }

    /// The smallest offset at which a session can be continued, and that is at least `least`.
    pub fn aligned(&self, least: u64) -> u64 {
        least.next_multiple_of(self.capabilities.granularity.max(1))
    }

    /// The path of `relative` below this client's root.
    pub fn at(&self, relative: &str) -> String {
        format!("{}/{relative}", self.root)
    }

    /// This client's root.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The connection for calls.
    pub fn channel(&self) -> Channel {
        self.calls.clone()
    }

    /// The generated client, for a call that is none of those below. It counts, and stands in no transcript.
    pub fn raw(&self) -> StorageDriverClient<Channel> {
        self.journal.count();
        self.stub()
    }

    /// The same, for a stream.
    pub fn raw_streams(&self) -> StorageDriverClient<Channel> {
        self.journal.count();
        self.stream_stub()
    }

    fn stub(&self) -> StorageDriverClient<Channel> {
        StorageDriverClient::new(self.calls.clone())
    }

    fn stream_stub(&self) -> StorageDriverClient<Channel> {
        StorageDriverClient::new(self.streams.clone())
    }

    pub async fn configure(&self, parameters: BTreeMap<String, String>) -> Reply<pb::Capabilities> {
        let names = || parameters.keys().cloned().collect::<Vec<_>>().join(" ");
        let request = pb::ConfigureRequest { parameters: parameters.clone().into_iter().collect() };
        let mut raw = self.stub();
        let reply = self.journal.call("Configure", names, raw.configure(request)).await?;
        Ok(reply.into_inner().capabilities.unwrap_or_default())
    }

    pub async fn stat(&self, path: &str) -> Reply<pb::Info> {
        let request = pb::StatRequest { path: path.to_owned() };
        let mut raw = self.stub();
        let reply = self.journal.call("Stat", || path.to_owned(), raw.stat(request)).await?;
        Ok(reply.into_inner().info.unwrap_or_default())
    }

    pub async fn get(&self, path: &str) -> Reply<(pb::Info, Bytes)> {
        let mut raw = self.stub();
        let calling = raw.get(pb::GetRequest { path: path.to_owned() });
        let reply = self.journal.call("Get", || path.to_owned(), calling).await?.into_inner();
        self.journal.received(reply.content.len());
        Ok((reply.info.unwrap_or_default(), reply.content))
    }

    pub async fn put(&self, path: &str, content: impl Into<Bytes>) -> Reply<pb::Info> {
        self.put_if(path, content, false).await
    }

    pub async fn put_if(&self, path: &str, content: impl Into<Bytes>, if_absent: bool) -> Reply<pb::Info> {
        let request = pb::PutRequest { path: path.to_owned(), content: content.into(), if_absent };
        let size = request.content.len();
        self.journal.sent(size);
        let mut raw = self.stub();
        let arguments = || format!("{path} {size} bytes{}", if if_absent { " if_absent" } else { "" });
        let reply = self.journal.call("Put", arguments, raw.put(request)).await?;
        Ok(reply.into_inner().info.unwrap_or_default())
    }

    pub async fn open_read(&self, request: pb::ReadRequest) -> Reply<Messages<pb::ReadResponse>> {
        let arguments = format!("{} from {} for {:?}", request.path, request.offset, request.length);
        let mut raw = self.stream_stub();
        let stream = self.journal.call("Read", || arguments.clone(), raw.read(request)).await?.into_inner();
        Ok(Messages::new(stream, self.journal.clone(), "Read", arguments))
    }

    /// Reads a range to its end; the first message's `info`, and the bytes.
    pub async fn read(&self, path: &str, offset: u64, length: Option<u64>) -> Reply<(pb::Info, Vec<u8>)> {
        let request = pb::ReadRequest { path: path.to_owned(), offset, length, if_version: String::new() };
        let mut messages = self.open_read(request).await?;
        let first = messages.message().await?.unwrap_or_default();
        let info = first.info.ok_or_else(|| Status::internal("the first message of a read has no info"))?;
        let mut content = first.data.to_vec();
        while let Some(message) = messages.message().await? {
            content.extend_from_slice(&message.data);
        }
        self.journal.received(content.len());
        Ok((info, content))
    }

    pub async fn list(&self, path: &str, start_after: &str, limit: u32) -> Reply<pb::ListResponse> {
        let request = pb::ListRequest { path: path.to_owned(), start_after: start_after.to_owned(), limit };
        let arguments = || format!("{path} after {start_after:?}, at most {limit}");
        let mut raw = self.stub();
        Ok(self.journal.call("List", arguments, raw.list(request)).await?.into_inner())
    }

    /// Walks to the end; the messages as they came.
    pub async fn walk(&self, path: &str, start_after: &str) -> Reply<Vec<pb::WalkResponse>> {
        let request = pb::WalkRequest { path: path.to_owned(), start_after: start_after.to_owned() };
        let arguments = format!("{path} after {start_after:?}");
        let mut raw = self.stream_stub();
        let stream = self.journal.call("Walk", || arguments.clone(), raw.walk(request)).await?.into_inner();
        let mut stream = Messages::new(stream, self.journal.clone(), "Walk", arguments);
        let mut messages = Vec::new();
        while let Some(message) = stream.message().await? {
            messages.push(message);
        }
        Ok(messages)
    }

    /// Walks to the end; the paths.
    pub async fn walk_paths(&self, path: &str, start_after: &str) -> Reply<Vec<String>> {
        let entries = self.walk(path, start_after).await?.into_iter().flat_map(|message| message.entries);
        Ok(entries.map(|entry| entry.path).collect())
    }

    /// Lists to the end in pages of `limit`; the names, each with whether it is a prefix.
    pub async fn list_all(&self, path: &str, start_after: &str, limit: u32) -> Reply<Vec<(String, bool)>> {
        let (mut names, mut after) = (Vec::new(), start_after.to_owned());
        loop {
            let page = self.list(path, &after, limit).await?;
            names.extend(
                page.entries
                    .iter()
                    .map(|entry| (entry.name.clone(), entry.info.as_ref().is_some_and(|info| info.is_prefix))),
            );
            match page.entries.last() {
                Some(last) if page.more => after.clone_from(&last.name),
                _ => return Ok(names),
            }
        }
    }

    /// Puts small content at each of `names`, several at once.
    pub async fn put_all(&self, names: impl IntoIterator<Item = String>) -> Reply<()> {
        let puts = stream::iter(names).map(async |name| self.put(&self.at(&name), name.clone()).await);
        puts.buffer_unordered(PUTS_AT_ONCE).try_for_each(|_| async { Ok(()) }).await
    }

    pub async fn rename(&self, source: &str, target: &str) -> Reply<pb::Info> {
        let request = pb::MoveRequest { source: source.to_owned(), target: target.to_owned() };
        let mut raw = self.stub();
        let reply = self.journal.call("Move", || format!("{source} to {target}"), raw.r#move(request)).await?;
        Ok(reply.into_inner().info.unwrap_or_default())
    }

    pub async fn delete(&self, path: &str, recursive: bool) -> Reply<()> {
        let arguments = || format!("{path}{}", if recursive { " recursive" } else { "" });
        let mut raw = self.stub();
        let calling = raw.delete(pb::DeleteRequest { path: path.to_owned(), recursive });
        self.journal.call("Delete", arguments, calling).await.map(drop)
    }

    pub async fn redirect_url(&self, path: &str) -> Reply<String> {
        let expires_in = std::time::Duration::from_secs(60).try_into().ok();
        let request = pb::RedirectUrlRequest { path: path.to_owned(), expires_in, ..Default::default() };
        let mut raw = self.stub();
        let calling = raw.redirect_url(request);
        Ok(self.journal.call("RedirectUrl", || path.to_owned(), calling).await?.into_inner().url)
    }

    /// A write stream that begins with `messages`. They do not wait for the driver's headers, which some libraries send
    /// with their first answer.
    pub async fn stream(&self, messages: Vec<Kind>) -> Reply<Session> {
        let (requests, receiver) = mpsc::channel(messages.len().max(1));
        let mut raw = self.stream_stub();
        let calling = raw.write(ReceiverStream::new(receiver));
        let path =
            messages.iter().find_map(|kind| if let Kind::Open(open) = kind { Some(open.path.clone()) } else { None });
        let path = path.unwrap_or_default();
        for kind in messages {
            note(&self.journal, &kind);
            // The channel has room for all of them.
            let _ = requests.send(pb::WriteRequest { kind: Some(kind) }).await;
        }
        let answers = self.journal.call("Write", || path.clone(), calling).await?.into_inner();
        let answers = Messages::new(answers, self.journal.clone(), "Write", path);
        Ok(Session { requests, answers, journal: self.journal.clone() })
    }

    /// Opens a session, and waits for the acknowledgement.
    pub async fn open(&self, path: &str, offset: u64) -> Reply<Session> {
        self.open_for(path, offset, "").await
    }

    /// Opens a session with a hint where it will be published.
    pub async fn open_for(&self, path: &str, offset: u64, target: &str) -> Reply<Session> {
        let open = Open { path: path.to_owned(), offset, target: target.to_owned() };
        let mut session = self.stream(vec![Kind::Open(open)]).await?;
        let answer = session.answer().await?;
        if answer.persisted == offset && !answer.flushed {
            return Ok(session);
        }
        Err(Status::internal(format!("open at {offset} was acknowledged with {answer:?}")))
    }

    /// Writes all of `content` through a session of its own, whose stream stays open.
    pub async fn stage(&self, path: &str, content: &[u8]) -> Reply<Session> {
        let mut session = self.open(path, 0).await?;
        session.data(content).await;
        session.flush().await?;
        Ok(session)
    }

    pub async fn commit(&self, path: &str, target: &str, size: u64) -> Reply<pb::Info> {
        self.commit_if(path, target, size, false).await
    }

    pub async fn commit_if(&self, path: &str, target: &str, size: u64, if_absent: bool) -> Reply<pb::Info> {
        let request = pb::CommitRequest { path: path.to_owned(), target: target.to_owned(), size, if_absent };
        let arguments = || format!("{path} at {target}, {size} bytes{}", if if_absent { " if_absent" } else { "" });
        let mut raw = self.stub();
        let reply = self.journal.call("Commit", arguments, raw.commit(request)).await?;
        Ok(reply.into_inner().info.unwrap_or_default())
    }

    /// Stores content of any size.
    pub async fn store(&self, relative: &str, content: &[u8]) -> Reply<pb::Info> {
        let staging = self.at(&format!("{relative}.staging"));
        let _session = self.stage(&staging, content).await?;
        self.commit(&staging, &self.at(relative), content.len() as u64).await
    }
}

/// A write stream. Dropping it resets the stream.
#[derive(Debug)]
pub struct Session {
    requests: mpsc::Sender<pb::WriteRequest>,
    answers: Messages<pb::WriteResponse>,
    journal: Journal,
}

impl Session {
    /// Sends a message. That the stream has ended shows in its answers.
    pub async fn send(&self, kind: Kind) {
        note(&self.journal, &kind);
        let _ = self.requests.send(pb::WriteRequest { kind: Some(kind) }).await;
    }

    /// Sends a message as a registry of a later day might, of a kind that is not known yet.
    pub async fn send_unknown(&self) {
        self.journal.message("Write", "a message of an unknown kind".to_owned(), "sent");
        let _ = self.requests.send(pb::WriteRequest { kind: None }).await;
    }

    /// Sends `content` in messages of the size that costs least.
    pub async fn data(&self, content: &[u8]) {
        for chunk in content.chunks(storagedriver_proto::limits::CHUNK_PREFERRED) {
            self.send(Kind::Data(Bytes::copy_from_slice(chunk))).await;
        }
    }

    /// The next answer.
    pub async fn answer(&mut self) -> Reply<pb::WriteResponse> {
        let answer = self.answers.message().await?;
        let answer = answer.ok_or_else(|| Status::unknown("the write stream ended with OK"))?;
        self.journal.message("Write", format!("{} persisted", answer.persisted), "received");
        Ok(answer)
    }

    /// Flushes, and tells what is persisted then.
    pub async fn flush(&mut self) -> Reply<u64> {
        self.send(Kind::Flush(Flush {})).await;
        loop {
            let answer = self.answer().await?;
            if answer.flushed {
                return Ok(answer.persisted);
            }
        }
    }

    /// Ends the stream in good order, and waits until the driver has ended it too.
    pub async fn end(self) -> Reply<()> {
        let Session { requests, mut answers, .. } = self;
        drop(requests);
        while answers.message().await?.is_some() {}
        Ok(())
    }

    /// The error with which the driver ends the stream.
    pub async fn ended(&mut self) -> Reply<()> {
        while self.answers.message().await?.is_some() {}
        Ok(())
    }
}

/// Notes a message that is sent.
fn note(journal: &Journal, kind: &Kind) {
    let arguments = match kind {
        Kind::Open(open) => format!("open {} at {} for {:?}", open.path, open.offset, open.target),
        Kind::Data(data) => format!("{} bytes", data.len()),
        Kind::Flush(_) => "flush".to_owned(),
    };
    if let Kind::Data(data) = kind {
        journal.sent(data.len());
    }
    journal.message("Write", arguments, "sent");
}
