//! Drivers that fail: the call pays, and nobody else.

use std::time::Duration;

use storagedriver_proto::limits::CHUNK_PREFERRED;
use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::Open;
use storagedriver_proto::v1alpha1::{
    CommitRequest, DeleteRequest, MoveRequest, PutRequest, ReadRequest, RedirectUrlRequest, WriteRequest, write_request,
};
use tonic::{Code, Request, Status};

use crate::stub::{Served, error, stat, until_dropped};

fn read(path: &str) -> ReadRequest {
    ReadRequest { path: path.to_owned(), ..Default::default() }
}

/// The sizes of a read's messages, and how it ended.
async fn read_all(served: &Served, path: &str) -> (Vec<usize>, Result<(), Status>) {
    let mut client = StorageDriverClient::new(served.connect().await);
    let mut messages = client.read(read(path)).await.unwrap().into_inner();
    let mut sizes = Vec::new();
    loop {
        match messages.message().await {
            Ok(Some(message)) => sizes.push(message.data.len()),
            Ok(None) => return (sizes, Ok(())),
            Err(status) => return (sizes, Err(status)),
        }
    }
}

#[tokio::test]
async fn a_panic_costs_one_call() {
    let (served, mut client) = Served::configured(&[]).await;
    assert_eq!(error(client.stat(stat("/panic")).await).reason(), Reason::Internal);
    let (sizes, ended) = read_all(&served, "/panic").await;
    assert_eq!((sizes, error(ended).reason()), (vec![0, 4], Reason::Internal));
    client.stat(stat("/fine")).await.unwrap();
}

#[tokio::test]
async fn content_that_breaks_its_word_is_corrupt() {
    let (served, _client) = Served::configured(&[]).await;
    for path in ["/short", "/long"] {
        let (_, ended) = read_all(&served, path).await;
        assert_eq!(error(ended).reason(), Reason::Corrupt, "{path}");
    }
}

#[tokio::test]
async fn reads_are_cut_to_the_preferred_size() {
    let (served, _client) = Served::configured(&[]).await;
    let (sizes, ended) = read_all(&served, "/uneven").await;
    ended.unwrap();
    assert_eq!(sizes.iter().sum::<usize>(), 1_000_000);
    assert!(sizes.iter().all(|size| *size <= CHUNK_PREFERRED), "{sizes:?}");
}

#[tokio::test]
async fn a_call_that_is_given_up_stops() {
    let (served, mut client) = Served::configured(&[]).await;
    let mut other = client.clone();
    tokio::time::timeout(Duration::from_millis(50), other.stat(stat("/hang"))).await.unwrap_err();
    until_dropped(&mut client, 1).await;

    let mut reader = StorageDriverClient::new(served.connect().await);
    let mut messages = reader.read(read("/hang")).await.unwrap().into_inner();
    while messages.message().await.unwrap().unwrap().data.is_empty() {}
    drop(messages);
    until_dropped(&mut client, 2).await;
}

#[tokio::test]
async fn a_deadline_ends_a_call_and_a_stream() {
    let (_served, mut client) = Served::configured(&[]).await;
    let mut late = Request::new(stat("/hang"));
    late.metadata_mut().insert("grpc-timeout", "50m".parse().unwrap());
    client.stat(late).await.unwrap_err();
    until_dropped(&mut client, 1).await;

    let mut late = Request::new(read("/hang"));
    late.metadata_mut().insert("grpc-timeout", "1S".parse().unwrap());
    let mut messages = client.read(late).await.unwrap().into_inner();
    let status = loop {
        match messages.message().await {
            Ok(message) => assert!(message.is_some(), "the stream ended with OK"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded);
    until_dropped(&mut client, 2).await;
}

#[tokio::test]
async fn a_message_is_short_and_tells_no_cause() {
    let (_served, mut client) = Served::configured(&[]).await;
    let status = client.stat(stat("/wordy")).await.unwrap_err();
    assert!(status.message().starts_with('é') && status.message().len() <= 1024);
    assert!(!format!("{status:?}").contains("secret"));
}

#[tokio::test]
async fn a_read_only_store_refuses_every_change() {
    let (_served, mut client) = Served::configured(&[("read_only", "true")]).await;
    let path = "/a".to_owned();
    let open = write_request::Kind::Open(Open { path: path.clone(), ..Default::default() });
    let open = tokio_stream::iter([WriteRequest { kind: Some(open) }]);
    let put = PutRequest { path: path.clone(), ..Default::default() };
    let delete = DeleteRequest { path: path.clone(), recursive: true };
    let commit = CommitRequest { path: path.clone(), target: path.clone(), ..Default::default() };
    let results = [
        ("Put", client.put(put).await.map(drop)),
        ("Move", client.r#move(MoveRequest { source: path.clone(), target: path }).await.map(drop)),
        ("Delete", client.delete(delete).await.map(drop)),
        ("Write", client.write(open).await.map(drop)),
        ("Commit", client.commit(commit).await.map(drop)),
    ];
    for (call, result) in results {
        assert_eq!(error(result).reason(), Reason::ReadOnly, "{call}");
    }
    client.stat(stat("/a")).await.unwrap();
}

#[tokio::test]
async fn what_is_not_declared_is_refused() {
    let (_served, mut client) = Served::configured(&[]).await;
    let path = "/a".to_owned();
    let put = PutRequest { path: path.clone(), if_absent: true, ..Default::default() };
    let commit = CommitRequest { path: path.clone(), target: "/b".to_owned(), if_absent: true, ..Default::default() };
    assert_eq!(error(client.put(put).await).reason(), Reason::Unsupported);
    assert_eq!(error(client.commit(commit).await).reason(), Reason::Unsupported);
    let redirect = RedirectUrlRequest { path, ..Default::default() };
    assert_eq!(error(client.redirect_url(redirect).await).reason(), Reason::Unsupported);
}
