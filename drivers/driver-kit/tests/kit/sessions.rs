//! The turns that the kit keeps at a staging path, so that drivers need not.

use std::time::Duration;

use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::{Kind, Open};
use storagedriver_proto::v1alpha1::{CommitRequest, DeleteRequest, GetRequest, WriteRequest, WriteResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::stub::{Served, error, soon};

type Client = StorageDriverClient<Channel>;

pub(crate) struct Stream {
    requests: mpsc::UnboundedSender<WriteRequest>,
    answers: Streaming<WriteResponse>,
}

impl Stream {
    pub(crate) async fn open(client: &mut Client, offset: u64) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::unbounded_channel();
        let answers = client.write(UnboundedReceiverStream::new(receiver)).await?.into_inner();
        let mut stream = Stream { requests, answers };
        stream.send(Kind::Open(Open { path: "/staging".to_owned(), offset, target: String::new() }));
        stream.answers.message().await.map(|_| stream)
    }

    fn send(&mut self, kind: Kind) {
        let _ = self.requests.send(WriteRequest { kind: Some(kind) });
    }

    pub(crate) async fn ended(&mut self) -> Result<(), Status> {
        soon(async {
            while self.answers.message().await?.is_some() {}
            Ok(())
        })
        .await
    }
}

async fn events(client: &mut Client) -> String {
    let events = client.get(GetRequest { path: "/events".to_owned() }).await.unwrap().into_inner().content;
    String::from_utf8(events.to_vec()).unwrap()
}

/// Waits until `event` is the last thing that happened.
pub(crate) async fn until(client: &mut Client, event: &str) {
    soon(async {
        while !events(client).await.ends_with(event) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn commit(size: u64) -> CommitRequest {
    CommitRequest { path: "/staging".to_owned(), target: "/target".to_owned(), size, if_absent: false }
}

#[tokio::test]
async fn a_newer_open_waits_for_the_write_under_way_and_fences() {
    let (_served, mut client) = Served::configured(&[]).await;
    let mut older = Stream::open(&mut client, 0).await.unwrap();
    older.send(Kind::Data("one".into()));
    older.send(Kind::Data("two".into()));
    until(&mut client, "write-begins").await;
    let _newer = Stream::open(&mut client, 0).await.unwrap();
    assert_eq!(error(older.ended().await).reason(), Reason::Fenced);
    assert_eq!(events(&mut client).await, "open write-begins write-ends open");
}

#[tokio::test]
async fn an_open_that_fails_fences_nobody() {
    let (_served, mut client) = Served::configured(&[]).await;
    let mut older = Stream::open(&mut client, 0).await.unwrap();
    let refused = error(Stream::open(&mut client, 9).await.map(drop));
    assert_eq!((refused.reason(), refused.persisted), (Reason::OffsetInvalid, 3));
    older.send(Kind::Flush(Default::default()));
    assert!(older.answers.message().await.unwrap().unwrap().flushed);
}

#[tokio::test]
async fn a_write_is_finished_though_its_caller_is_gone() {
    let (_served, mut client) = Served::configured(&[]).await;
    let mut stream = Stream::open(&mut client, 0).await.unwrap();
    stream.send(Kind::Data("one".into()));
    until(&mut client, "write-begins").await;
    drop(stream);
    until(&mut client, "write-ends").await;
}

#[tokio::test]
async fn commit_flushes_the_open_session_and_has_it() {
    let (_served, mut client) = Served::configured(&[]).await;
    let mut stream = Stream::open(&mut client, 4).await.unwrap();
    let refused = error(client.commit(commit(5)).await);
    assert_eq!((refused.reason(), refused.persisted), (Reason::OffsetInvalid, 4));
    client.commit(commit(4)).await.unwrap();
    assert_eq!(error(stream.ended().await).reason(), Reason::Fenced);
    assert_eq!(events(&mut client).await, "open flush flush commit");
}

#[tokio::test]
async fn delete_waits_for_its_turn_and_fences_what_lies_below() {
    let (_served, mut client) = Served::configured(&[]).await;
    for (path, recursive) in [("/staging", false), ("/staging", true)] {
        let mut stream = Stream::open(&mut client, 0).await.unwrap();
        stream.send(Kind::Data("one".into()));
        until(&mut client, "write-begins").await;
        client.delete(DeleteRequest { path: path.to_owned(), recursive }).await.unwrap();
        assert_eq!(error(stream.ended().await).reason(), Reason::Fenced);
        assert!(events(&mut client).await.ends_with("write-begins write-ends delete"));
    }
}

#[tokio::test]
async fn a_panic_in_a_session_ends_its_stream_alone() {
    let (_served, mut client) = Served::configured(&[]).await;
    let mut stream = Stream::open(&mut client, 0).await.unwrap();
    stream.send(Kind::Data("!".into()));
    assert_eq!(error(stream.ended().await).reason(), Reason::Internal);
    Stream::open(&mut client, 0).await.unwrap();
}
