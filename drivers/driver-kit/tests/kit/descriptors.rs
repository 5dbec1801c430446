//! The descriptor socket, on a server within the test.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read as _, Seek as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use driver_kit::Server;
use prost::Message as _;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags,
    SocketAddrUnix, SocketFlags, SocketType, recvmsg, sendmsg, socket_with, sockopt,
};
use storagedriver_proto::v1alpha1::descriptor_response::Kind;
use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::Open;
use storagedriver_proto::v1alpha1::{DescriptorRequest, DescriptorResponse, WriteResponse};
use tempfile::TempDir;

use crate::sessions::{Stream, until};
use crate::stub::{Served, Stub, configuration, error, soon, until_dropped};

fn packet_socket() -> OwnedFd {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// Who asks for descriptors, and waits for nothing longer than 15 seconds.
struct Asker(OwnedFd);

/// A server with a descriptor socket, and the way to that.
struct Socket {
    address: SocketAddrUnix,
    _folder: TempDir,
}

impl Socket {
    fn server() -> (Self, Server<Stub>) {
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddrUnix::new(folder.path().join("stub.sock.fd")).unwrap();
        let listener = packet_socket();
        rustix::net::bind(&listener, &address).unwrap();
        rustix::net::listen(&listener, 64).unwrap();
        let server = Server::with_descriptor_socket(Vec::new(), listener).unwrap();
        (Socket { address, _folder: folder }, server)
    }

    async fn configured() -> (Self, Served) {
        let (socket, server) = Self::server();
        server.configure(Default::default()).await.unwrap();
        (socket, Served::start(server))
    }

    fn connect(&self) -> Asker {
        let socket = packet_socket();
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_secs(15))).unwrap();
        rustix::net::connect(&socket, &self.address).unwrap();
        Asker(socket)
    }
}

impl Asker {
    fn send(&self, packet: &[u8]) {
        sendmsg(&self.0, &[IoSlice::new(packet)], &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL).unwrap();
    }

    fn ask(&self, path: &str, if_version: &str) {
        let (path, if_version) = (path.to_owned(), if_version.to_owned());
        self.send(&DescriptorRequest { path, if_version, open: None }.encode_to_vec());
    }

    fn open(&self, path: &str, offset: u64) {
        let open = Open { path: path.to_owned(), offset, target: String::new() };
        self.send(&DescriptorRequest { open: Some(open), ..DescriptorRequest::default() }.encode_to_vec());
    }

    /// What came, and with which descriptors; `None` at the end of the connection.
    async fn answer(&self) -> Option<(Kind, Vec<OwnedFd>)> {
        let socket = self.0.try_clone().unwrap();
        tokio::task::spawn_blocking(move || receive(&socket)).await.unwrap()
    }

    async fn refused(&self) -> Reason {
        match self.answer().await {
            Some((Kind::Failure(failure), none)) if none.is_empty() => failure.error.unwrap().reason(),
            other => panic!("no failure: {other:?}"),
        }
    }

    async fn content(&self) -> String {
        let Some((Kind::Info(info), mut descriptors)) = self.answer().await else { panic!("no info") };
        assert_eq!(descriptors.len(), 1);
        let (mut file, mut text) = (File::from(descriptors.remove(0)), String::new());
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(info.size, text.len() as u64);
        text
    }
}

fn receive(socket: &OwnedFd) -> Option<(Kind, Vec<OwnedFd>)> {
    let (mut packet, mut space) = ([0; 8192], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))]);
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut packet)], &mut control, RecvFlags::CMSG_CLOEXEC);
    let length = received.unwrap().bytes;
    let descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let descriptors = descriptors.collect();
    let answer = (length > 0).then(|| DescriptorResponse::decode(&packet[..length]).unwrap());
    answer.map(|answer| (answer.kind.unwrap(), descriptors))
}

#[tokio::test]
async fn a_request_is_answered_with_info_and_one_descriptor_or_with_a_failure_and_none() {
    let (socket, server) = Socket::server();
    let served = Served::start(server);
    let asker = socket.connect();
    asker.ask("/a", "");
    assert_eq!(asker.refused().await, Reason::NotConfigured);
    let mut client = StorageDriverClient::new(served.connect().await);
    let answer = client.configure(configuration(&[])).await.unwrap().into_inner();
    assert!(answer.capabilities.unwrap().descriptors);
    for (path, version) in [("/a", ""), ("/a/b", "1")] {
        asker.ask(path, version);
        assert_eq!(asker.content().await, path);
    }
    let rows = [
        ("/a", "2", Reason::VersionMismatch),
        ("", "1", Reason::PathInvalid),
        ("/", "", Reason::PathInvalid),
        ("/prefix", "", Reason::NotFound),
        ("/panic", "", Reason::Internal),
    ];
    for (path, version, reason) in rows {
        asker.ask(path, version);
        assert_eq!(asker.refused().await, reason, "{path:?}");
    }
    asker.ask("/after/a/panic", "");
    assert_eq!(asker.content().await, "/after/a/panic");
}

#[tokio::test]
async fn what_nobody_can_ask_for_is_not_declared() {
    let (served, mut client) = Served::configured(&[]).await;
    let answer = client.configure(configuration(&[])).await.unwrap().into_inner();
    assert!(!answer.capabilities.unwrap().descriptors);
    drop(served);
}

#[tokio::test]
async fn what_is_no_request_ends_its_connection_alone() {
    let (socket, _served) = Socket::configured().await;
    let other = socket.connect();
    let sized = |length: usize| {
        let (path, if_version) = ("/a".to_owned(), "v".repeat(length - 7));
        let packet = DescriptorRequest { path, if_version, open: None }.encode_to_vec();
        assert_eq!(packet.len(), length);
        packet
    };
    other.send(&sized(4096));
    assert_eq!(other.refused().await, Reason::VersionMismatch);
    for packet in [Vec::new(), vec![0xff; 16], sized(4097), sized(8192)] {
        let asker = socket.connect();
        asker.send(&packet);
        assert!(asker.answer().await.is_none(), "{} bytes are answered", packet.len());
        other.ask("/a", "");
        assert_eq!(other.content().await, "/a");
    }
}

#[tokio::test]
async fn a_connection_that_ends_drops_its_work() {
    let (socket, served) = Socket::configured().await;
    let asker = socket.connect();
    asker.ask("/hang", "");
    asker.ask("/a", "");
    drop(asker);
    until_dropped(&mut StorageDriverClient::new(served.connect().await), 1).await;
}

#[tokio::test]
async fn a_stop_answers_what_was_received_and_ends_the_connections() {
    let (socket, served) = Socket::configured().await;
    let (asker, idle) = (socket.connect(), socket.connect());
    idle.ask("/idle", "");
    assert_eq!(idle.content().await, "/idle");
    for path in ["/slow", "/a", "/b"] {
        asker.ask(path, "");
    }
    served.stop.cancel();
    for path in ["/slow", "/a", "/b"] {
        assert_eq!(asker.content().await, path);
    }
    assert!(asker.answer().await.is_none() && idle.answer().await.is_none());
    soon(served.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_file_of_a_session_fences_its_stream_and_refuses_what_a_stream_is_refused() {
    let (socket, served) = Socket::configured().await;
    let mut client = StorageDriverClient::new(served.connect().await);
    let (asker, mut stream) = (socket.connect(), Stream::open(&mut client, 0).await.unwrap());
    let rows = [("/staging", 9, Reason::OffsetInvalid), ("", 0, Reason::PathInvalid), ("/", 0, Reason::PathInvalid)];
    for (path, offset, reason) in rows {
        asker.open(path, offset);
        assert_eq!(asker.refused().await, reason, "{path:?}");
    }
    asker.open("/staging", 5);
    let Some((Kind::Opened(opened), descriptors)) = asker.answer().await else { panic!("no file") };
    assert_eq!((opened, descriptors.len()), (WriteResponse { persisted: 5, flushed: false }, 1));
    assert_eq!(error(stream.ended().await).reason(), Reason::Fenced);
}

#[tokio::test]
async fn a_file_is_handed_out_to_the_end_and_in_the_turn_of_its_session() {
    let (socket, served) = Socket::configured().await;
    let mut client = StorageDriverClient::new(served.connect().await);
    let asker = socket.connect();
    asker.open("/staging", 0);
    until(&mut client, "file-begins").await;
    drop(asker);
    let _stream = Stream::open(&mut client, 3).await.unwrap();
    until(&mut client, "file-begins open file-ends open").await;
}

#[tokio::test]
async fn a_store_that_takes_no_changes_hands_no_file_out() {
    let (socket, server) = Socket::server();
    server.configure(crate::stub::parameters(&[("read_only", "true")])).await.unwrap();
    let _served = Served::start(server);
    let asker = socket.connect();
    asker.open("/staging", 0);
    assert_eq!(asker.refused().await, Reason::ReadOnly);
}
