//! Open files from real drivers, and from some that break their word.

use std::fs::File;
use std::io::{IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use prost::Message;
use prost_types::Timestamp;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, accept, recv, sendmsg};
use rustix::process::Signal;
use storagedriver_proto::v1alpha1::descriptor_response::{Failure, Kind};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{DescriptorResponse, Info, StorageError, WriteResponse};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{PATIENCE, Place, content, path, signal};
use crate::driver::answers::Capabilities;
use crate::driver::channel::Connections;
use crate::driver::descriptors::Descriptors;
use crate::driver::gate::Gate;
use crate::driver::packets;
use crate::driver::settings::{Endpoint, Socket};
use crate::driver::{DriverClient, DriverErrorKind, LocalFile};

async fn bytes_of(file: LocalFile) -> Vec<u8> {
    let size = file.size();
    file.stream(0, size).try_collect::<Vec<_>>().await.unwrap().concat()
}

/// The file of `/a/b`, once there is a driver that hands it over.
async fn handed(client: &DriverClient) -> LocalFile {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(file) = client.local_file(&path("/a/b")).await.unwrap() {
            return file;
        }
        assert!(Instant::now() < deadline, "no file is handed over");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_file_is_handed_over_by_every_process_of_a_driver() {
    for socket in [Socket::Inherit, Socket::Path] {
        let place = Place::new();
        let (supervisor, client) = place.start("filesystem", socket).await.unwrap();
        let content = content(300_000);
        client.put(&path("/a/b"), content.clone()).await.unwrap();
        for _ in 0..3 {
            assert!(bytes_of(handed(&client).await).await == content);
            let kind = client.local_file(&path("/a")).await.unwrap_err().kind();
            assert_eq!(kind, DriverErrorKind::NotFound);
            signal(&client, Signal::KILL);
        }
        supervisor.shutdown().await;
    }
}

#[tokio::test]
async fn a_registry_that_wants_no_files_gets_none() {
    let place = Place::new();
    let settings = super::DriverSettings { descriptors: false, ..place.settings("filesystem", Socket::Inherit) };
    let (supervisor, client) = super::Supervisor::start(settings).await.unwrap();
    client.put(&path("/a"), content(10)).await.unwrap();
    assert!(!client.capabilities().descriptors && client.local_file(&path("/a")).await.unwrap().is_none());
    supervisor.shutdown().await;
}

/// What a driver answers to every request.
struct Answer {
    packet: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// A descriptor socket on which `answer` is all that ever comes.
struct Stage {
    client: DriverClient,
    asked: Arc<AtomicUsize>,
    _folder: TempDir,
}

impl Stage {
    /// For a driver that this registry has for itself.
    fn set(answer: Answer) -> Self {
        let capabilities = Capabilities { descriptors: true, write_descriptors: true, ..Capabilities::NONE };
        Self::of(answer, capabilities, true)
    }

    fn of(answer: Answer, capabilities: Capabilities, owned: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::Unix(folder.path().join("driver.sock"));
        let listener = packets::bind_listener(&folder.path().join("driver.sock.fd")).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        // It ends with the process: nothing tells a thread that waits for a connection to end.
        std::thread::spawn(move || {
            while let Ok(connection) = accept(&listener) {
                while recv(&connection, &mut [0; 5000], RecvFlags::empty()).is_ok_and(|(received, _)| received > 0) {
                    count.fetch_add(1, Ordering::Relaxed);
                    answer.send(&connection);
                }
            }
        });
        let gate = Arc::new(Gate::new());
        gate.open(capabilities, None, 0);
        let connections = Connections::to(&endpoint).unwrap();
        let client = DriverClient::new(connections, Descriptors::of(&endpoint, true), gate, owned);
        Stage { client, asked, _folder: folder }
    }
}

impl Answer {
    fn info(size: u64, descriptors: Vec<OwnedFd>) -> Self {
        let info = Info { size, modified: Some(Timestamp::default()), version: "v".to_owned(), is_prefix: false };
        Answer { packet: DescriptorResponse { kind: Some(Kind::Info(info)) }.encode_to_vec(), descriptors }
    }

    fn opened(persisted: u64, descriptors: Vec<OwnedFd>) -> Self {
        let opened = Kind::Opened(WriteResponse { persisted, flushed: false });
        Answer { packet: DescriptorResponse { kind: Some(opened) }.encode_to_vec(), descriptors }
    }

    fn failure(reason: Reason, descriptors: Vec<OwnedFd>) -> Self {
        let error = StorageError { reason: reason.into(), ..Default::default() };
        let kind = Kind::Failure(Failure { error: Some(error), message: "no".to_owned() });
        Answer { packet: DescriptorResponse { kind: Some(kind) }.encode_to_vec(), descriptors }
    }

    fn send(&self, connection: &OwnedFd) {
        let descriptors: Vec<BorrowedFd<'_>> = self.descriptors.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        sendmsg(connection, &[IoSlice::new(&self.packet)], &mut control, SendFlags::NOSIGNAL).unwrap();
    }
}

/// A file of 5 bytes, opened as `options` says.
fn file(options: &mut std::fs::OpenOptions) -> OwnedFd {
    let mut named = tempfile::NamedTempFile::new().unwrap();
    named.write_all(b"hello").unwrap();
    options.open(named.path()).unwrap().into()
}

fn writable() -> OwnedFd {
    file(File::options().write(true))
}

fn readable() -> OwnedFd {
    file(File::options().read(true))
}

#[tokio::test]
async fn a_driver_that_breaks_its_word_is_asked_no_more() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let rows = [
        ("what is no answer", Answer { packet: vec![0xff; 9], descriptors: Vec::new() }),
        ("an answer that says nothing", Answer { packet: vec![0xa2, 0x06, 0x00], descriptors: Vec::new() }),
        ("a packet that is too long", Answer { packet: vec![0; 4097], descriptors: Vec::new() }),
        ("info without a descriptor", Answer::info(5, Vec::new())),
        ("info with two", Answer::info(5, vec![readable(), readable()])),
        ("info with more than there is room for", Answer::info(5, (0..4).map(|_| readable()).collect())),
        ("another size", Answer::info(6, vec![readable()])),
        ("a file to write to", Answer::info(5, vec![file(File::options().read(true).write(true))])),
        ("a pipe", Answer::info(0, vec![reader.into()])),
        ("a failure with a descriptor", Answer::failure(Reason::NotFound, vec![readable()])),
    ];
    for (what, answer) in rows {
        let stage = Stage::set(answer);
        for _ in 0..2 {
            assert!(stage.client.local_file(&path("/a")).await.unwrap().is_none(), "{what}");
        }
        assert_eq!(stage.asked.load(Ordering::Relaxed), 1, "{what}");
    }
}

#[tokio::test]
async fn only_what_every_call_would_say_is_an_answer() {
    let stage = Stage::set(Answer::info(5, vec![readable()]));
    let file = stage.client.local_file(&path("/a")).await.unwrap().unwrap();
    assert_eq!(bytes_of(file).await, b"hello");
    for reason in [Reason::NotFound, Reason::Corrupt] {
        let stage = Stage::set(Answer::failure(reason, Vec::new()));
        assert!(stage.client.local_file(&path("/a")).await.is_err(), "{reason:?}");
    }
    for reason in [Reason::Unsupported, Reason::Unavailable, Reason::Internal, Reason::NotConfigured] {
        let stage = Stage::set(Answer::failure(reason, Vec::new()));
        for asked in 1..=2 {
            assert!(stage.client.local_file(&path("/a")).await.unwrap().is_none(), "{reason:?}");
            assert_eq!(stage.asked.load(Ordering::Relaxed), asked, "{reason:?}: the next content may have a file");
        }
    }
}

#[tokio::test]
async fn the_file_of_a_session_is_believed_when_it_is_what_was_promised() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let rows = [
        ("no descriptor", Answer::opened(5, Vec::new())),
        ("two", Answer::opened(5, vec![writable(), writable()])),
        ("another offset", Answer::opened(4, vec![writable()])),
        ("another size", Answer::opened(5, vec![tempfile::tempfile().unwrap().into()])),
        ("a file to read", Answer::opened(5, vec![readable()])),
        ("a file to append to", Answer::opened(5, vec![file(File::options().append(true))])),
        ("a pipe", Answer::opened(5, vec![writer.into()])),
        ("content", Answer::info(5, vec![readable()])),
    ];
    for (what, answer) in rows {
        let stage = Stage::set(answer);
        for _ in 0..2 {
            assert!(stage.client.open_session_file(&path("/a"), 5, None).await.unwrap().is_none(), "{what}");
        }
        assert_eq!(stage.asked.load(Ordering::Relaxed), 1, "{what}");
    }
    let stage = Stage::set(Answer::opened(5, vec![writable()]));
    let mut session = stage.client.open_session_file(&path("/a"), 5, None).await.unwrap().unwrap();
    session.write(content(9)).await.unwrap();
    assert_eq!(session.written(), 14);
    let stage = Stage::set(Answer::failure(Reason::OffsetInvalid, Vec::new()));
    assert!(stage.client.open_session_file(&path("/a"), 5, None).await.is_err());
    let stage = Stage::set(Answer::failure(Reason::Unavailable, Vec::new()));
    assert!(stage.client.open_session_file(&path("/a"), 5, None).await.unwrap().is_none());
}

#[tokio::test]
async fn a_session_that_others_may_open_is_no_file() {
    let all = Capabilities { descriptors: true, write_descriptors: true, ..Capabilities::NONE };
    let rows = [
        ("a driver of somebody else", all, false),
        ("a shared store", Capabilities { shared: true, ..all }, true),
        ("a driver without it", Capabilities { write_descriptors: false, ..all }, true),
    ];
    for (what, capabilities, owned) in rows {
        let stage = Stage::of(Answer::opened(5, vec![writable()]), capabilities, owned);
        assert!(stage.client.open_session_file(&path("/a"), 5, None).await.unwrap().is_none(), "{what}");
        assert_eq!(stage.asked.load(Ordering::Relaxed), 0, "{what}");
    }
}
