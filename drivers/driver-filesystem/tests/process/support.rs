//! A driver process of its own for each test, called as a registry calls it: over a socket, with the generated client.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use storagedriver_proto::environment::SOCKET;
use storagedriver_proto::error::from_status;
use storagedriver_proto::limits::CHUNK_PREFERRED;
use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::{Flush, Kind, Open};
use storagedriver_proto::v1alpha1::{
    Capabilities, CommitRequest, ConfigureRequest, DeleteRequest, GetRequest, Info, ListRequest, MoveRequest,
    PutRequest, ReadRequest, StatRequest, WalkRequest, WriteRequest, WriteResponse,
};
use tempfile::TempDir;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

const START_PATIENCE: Duration = Duration::from_secs(20);

/// An answer of the storage that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    pub(crate) persisted: u64,
    pub(crate) message: String,
}

pub(crate) type Reply<T> = Result<T, Refused>;

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        // Without a detail the connection broke: the driver was killed.
        let detail = from_status(&status).unwrap_or_default();
        Refused { reason: detail.reason(), persisted: detail.persisted, message: status.message().to_owned() }
    }
}

/// The reason of what must have been refused.
pub(crate) fn reason<T: std::fmt::Debug>(reply: Reply<T>) -> Reason {
    reply.unwrap_err().reason
}

/// A driver process. It is killed when this is dropped.
pub(crate) struct Driver {
    process: Child,
    client: StorageDriverClient<Channel>,
    _socket: TempDir,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Driver {
    /// A driver with the store in `root`.
    pub(crate) async fn at(root: &Path, parameters: &[(&str, &str)]) -> Self {
        let driver = Self::unconfigured(&[]).await;
        driver.configure(root, parameters).await.unwrap();
        driver
    }

    /// A driver that waits for Configure, started through `wrapper`.
    pub(crate) async fn unconfigured(wrapper: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("driver");
        let line = [wrapper, &[env!("CARGO_BIN_EXE_bulkhead-driver-filesystem")]].concat();
        let process =
            Command::new(line[0]).args(&line[1..]).env(SOCKET, &socket).stderr(Stdio::null()).spawn().unwrap();
        let client = connect(&socket).await;
        Driver { process, client, _socket: place }
    }

    pub(crate) async fn configure(&self, root: &Path, parameters: &[(&str, &str)]) -> Reply<Capabilities> {
        let root = [("rootdirectory", root.to_str().unwrap())];
        let parameters = root.iter().chain(parameters).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let request = ConfigureRequest { parameters: parameters.collect() };
        Ok(self.client().configure(request).await?.into_inner().capabilities.unwrap())
    }

    /// Ends the process at once, as the kernel would.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Does what [`Self::kill`] does while calls are under way.
    pub(crate) fn killer(&self) -> impl FnOnce() + use<> {
        let process = rustix::process::Pid::from_child(&self.process);
        move || rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap()
    }

    fn client(&self) -> StorageDriverClient<Channel> {
        self.client.clone()
    }

    pub(crate) async fn stat(&self, path: &str) -> Reply<Info> {
        let answer = self.client().stat(StatRequest { path: path.to_owned() }).await?;
        Ok(answer.into_inner().info.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Reply<Vec<u8>> {
        Ok(self.client().get(GetRequest { path: path.to_owned() }).await?.into_inner().content.to_vec())
    }

    pub(crate) async fn put(&self, path: &str, content: &[u8]) -> Reply<Info> {
        self.put_with(path, content, false).await
    }

    pub(crate) async fn put_if_absent(&self, path: &str, content: &[u8]) -> Reply<Info> {
        self.put_with(path, content, true).await
    }

    async fn put_with(&self, path: &str, content: &[u8], if_absent: bool) -> Reply<Info> {
        let request = PutRequest { path: path.to_owned(), content: content.to_vec().into(), if_absent };
        Ok(self.client().put(request).await?.into_inner().info.unwrap())
    }

    pub(crate) async fn read(&self, path: &str) -> Reply<Vec<u8>> {
        let request = ReadRequest { path: path.to_owned(), ..Default::default() };
        let mut messages = self.client().read(request).await?.into_inner();
        let mut content = Vec::new();
        while let Some(message) = messages.message().await? {
            content.extend_from_slice(&message.data);
        }
        Ok(content)
    }

    /// The names of a page, and whether another follows.
    pub(crate) async fn list(&self, path: &str, start_after: &str, limit: u32) -> Reply<(Vec<String>, bool)> {
        let request = ListRequest { path: path.to_owned(), start_after: start_after.to_owned(), limit };
        let page = self.client().list(request).await?.into_inner();
        Ok((page.entries.into_iter().map(|entry| entry.name).collect(), page.more))
    }

    /// All names in a folder of few.
    pub(crate) async fn names(&self, path: &str) -> Vec<String> {
        self.list(path, "", 0).await.unwrap().0
    }

    pub(crate) async fn walk(&self, path: &str) -> Reply<Vec<String>> {
        let request = WalkRequest { path: path.to_owned(), start_after: String::new() };
        let mut messages = self.client().walk(request).await?.into_inner();
        let mut paths = Vec::new();
        while let Some(message) = messages.message().await? {
            paths.extend(message.entries.into_iter().map(|entry| entry.path));
        }
        Ok(paths)
    }

    pub(crate) async fn rename(&self, source: &str, target: &str) -> Reply<()> {
        self.client().r#move(MoveRequest { source: source.to_owned(), target: target.to_owned() }).await?;
        Ok(())
    }

    pub(crate) async fn delete(&self, path: &str, recursive: bool) -> Reply<()> {
        self.client().delete(DeleteRequest { path: path.to_owned(), recursive }).await?;
        Ok(())
    }

    pub(crate) async fn commit(&self, path: &str, target: &str, size: u64) -> Reply<()> {
        let (path, target) = (path.to_owned(), target.to_owned());
        self.client().commit(CommitRequest { path, target, size, if_absent: false }).await?;
        Ok(())
    }

    pub(crate) async fn open(&self, path: &str, offset: u64) -> Reply<Writing> {
        let (requests, receiver) = channel(4);
        let open = Kind::Open(Open { path: path.to_owned(), offset, target: String::new() });
        requests.send(WriteRequest { kind: Some(open) }).await.unwrap();
        let answers = self.client().write(ReceiverStream::new(receiver)).await?.into_inner();
        let mut writing = Writing { requests, answers };
        writing.answer().await?;
        Ok(writing)
    }

    /// Stages `content` in one go.
    pub(crate) async fn stage(&self, path: &str, content: &[u8]) -> Reply<()> {
        let mut writing = self.open(path, 0).await?;
        writing.write(content).await;
        writing.flush().await.map(drop)
    }
}

async fn connect(socket: &Path) -> StorageDriverClient<Channel> {
    let begun = Instant::now();
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
    loop {
        match endpoint.connect().await {
            Ok(channel) => return StorageDriverClient::new(channel),
            Err(problem) => assert!(begun.elapsed() < START_PATIENCE, "the driver does not serve: {problem}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An open write stream.
pub(crate) struct Writing {
    requests: Sender<WriteRequest>,
    answers: Streaming<WriteResponse>,
}

impl Writing {
    /// Sends `content`. A stream that has ended takes it too; [`Self::flush`] tells why.
    pub(crate) async fn write(&mut self, content: &[u8]) {
        for piece in content.chunks(CHUNK_PREFERRED) {
            let data = Kind::Data(piece.to_vec().into());
            let _ = self.requests.send(WriteRequest { kind: Some(data) }).await;
        }
    }

    /// How much is persisted once everything sent is.
    pub(crate) async fn flush(&mut self) -> Reply<u64> {
        let _ = self.requests.send(WriteRequest { kind: Some(Kind::Flush(Flush {})) }).await;
        loop {
            let answer = self.answer().await?;
            if answer.flushed {
                return Ok(answer.persisted);
            }
        }
    }

    async fn answer(&mut self) -> Reply<WriteResponse> {
        let ended = || Status::new(Code::Unavailable, "the stream ended");
        Ok(self.answers.message().await?.ok_or_else(ended)?)
    }
}

/// The files that the driver keeps for itself while it does nothing, below `root`.
pub(crate) fn own_files(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![root.join("~bulkhead/workspaces")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files
}

/// Waits until `holds`.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < START_PATIENCE, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
