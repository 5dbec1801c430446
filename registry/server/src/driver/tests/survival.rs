//! Drivers that are killed or stopped while bytes flow: whoever writes or reads must not notice.

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::join_all;
use rustix::process::Signal;
use storagedriver_proto::limits::PROGRESS_TIMEOUT;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{Place, content, eventually, path, signal};
use crate::driver::DriverClient;

const MEBIBYTE: usize = 1 << 20;
/// As many as the supervisor bears without giving the driver up.
const KILLS: usize = 4;

/// Kills the driver at random moments, a few milliseconds after it came up.
fn kill_now_and_then(client: &DriverClient) -> AbortOnDropHandle<()> {
    let client = client.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        for _ in 0..KILLS {
            sleep(Duration::from_micros(rand::random_range(0..120_000))).await;
            eventually("the driver is up", || client.status().pid.is_some()).await;
            signal(&client, Signal::KILL);
        }
    }))
}

/// Pieces of any size, as they come from a network.
fn pieces(mut content: Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while !content.is_empty() {
        let most = content.len().min(rand::random_range(1..3 * MEBIBYTE));
        pieces.push(content.split_to(rand::random_range(1..=most)));
    }
    pieces
}

async fn upload(client: &DriverClient, name: &str, content: &Bytes) {
    let (staging, target) = (path(&format!("/uploads/{name}")), path(&format!("/blobs/{name}")));
    let hint = rand::random::<bool>().then_some(&target);
    let mut session = client.open_session(&staging, 0, hint).await.unwrap();
    for piece in pieces(content.clone()) {
        session.write(piece).await.unwrap();
        if rand::random_ratio(1, 20) {
            assert_eq!(session.flush().await.unwrap(), session.written());
        }
        if rand::random_ratio(1, 40) {
            let offset = session.flush().await.unwrap();
            drop(session);
            session = client.open_session(&staging, offset, hint).await.unwrap();
        }
    }
    session.commit(&target).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_survives_its_driver() {
    let (place, content) = (Place::new(), content(64 * MEBIBYTE));
    for round in 0..6 {
        let (supervisor, client) = place.filesystem().await;
        let killing = kill_now_and_then(&client);
        upload(&client, "survivor", &content).await;
        drop(killing);
        let stored = client.get(&path("/blobs/survivor"), content.len()).await.unwrap();
        assert!(stored == content, "round {round}: what is stored is not what was written");
        client.delete(&path("/blobs/survivor")).await.unwrap();
        supervisor.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_survives_its_driver() {
    let (place, content) = (Place::new(), content(32 * MEBIBYTE));
    let (supervisor, client) = place.filesystem().await;
    upload(&client, "survivor", &content).await;
    supervisor.shutdown().await;
    for round in 0..12 {
        let (supervisor, client) = place.filesystem().await;
        let _killing = kill_now_and_then(&client);
        let offset = rand::random_range(0..content.len());
        let length = rand::random_range(0..=content.len() - offset);
        let reader = client.read(&path("/blobs/survivor"), offset as u64, Some(length as u64)).await.unwrap();
        let read: Vec<Bytes> = reader.try_collect().await.unwrap();
        assert!(read.concat() == content[offset..offset + length], "round {round}: {length} bytes from {offset}");
        supervisor.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_calls_and_walks_survive_their_driver() {
    let place = Place::new();
    for round in 0..3 {
        let (supervisor, client) = place.filesystem().await;
        let killing = kill_now_and_then(&client);
        for number in 0..100 {
            let (new, kept) = (path(&format!("/new/{number:03}")), path(&format!("/kept/{number:03}")));
            client.put(&new, Bytes::from(format!("{round}"))).await.unwrap();
            client.rename(&new, &kept).await.unwrap();
        }
        let found: Vec<_> = client.walk(&path("/kept"), None).try_collect().await.unwrap();
        assert_eq!(found.len(), 100, "round {round}");
        for entry in &found {
            assert_eq!(client.get(&entry.path, 9).await.unwrap(), format!("{round}"), "{}", entry.path);
        }
        drop(killing);
        client.delete_tree(&path("/kept")).await.unwrap();
        assert!(client.list(&path("/"), None, 9).await.unwrap().entries.is_empty());
        supervisor.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_stands_still_for_ten_seconds_is_neither_given_up_nor_killed() {
    let (place, content) = (Place::new(), content(64 * MEBIBYTE));
    let (supervisor, client) = place.filesystem().await;
    let stopping = async {
        sleep(Duration::from_millis(20)).await;
        signal(&client, Signal::STOP);
        sleep(Duration::from_secs(10)).await;
        signal(&client, Signal::CONT);
    };
    tokio::join!(upload(&client, "patient", &content), stopping);
    assert!(client.get(&path("/blobs/patient"), content.len()).await.unwrap() == content);
    assert_eq!(client.status().restarts, 0);
    supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_hangs_is_replaced_and_the_upload_goes_on() {
    let (place, content) = (Place::new(), content(32 * MEBIBYTE));
    let (supervisor, client) = place.filesystem().await;
    let hanging = async {
        sleep(Duration::from_millis(20)).await;
        signal(&client, Signal::STOP);
    };
    tokio::join!(upload(&client, "stuck", &content), hanging);
    assert!(client.get(&path("/blobs/stuck"), content.len()).await.unwrap() == content);
    assert_eq!(client.status().restarts, 1);
    supervisor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_uploads_share_the_budget_and_all_come_to_their_end() {
    let (place, content) = (Place::new(), content(8 * MEBIBYTE));
    let (supervisor, client) = place.filesystem().await;
    let names: Vec<String> = (0..40).map(|number| format!("upload-{number}")).collect();
    let uploads = join_all(names.iter().map(|name| upload(&client, name, &content)));
    timeout(Duration::from_secs(120), uploads).await.expect("no upload may wait for ever");
    for name in &names {
        assert!(client.get(&path(&format!("/blobs/{name}")), content.len()).await.unwrap() == content, "{name}");
    }
    supervisor.shutdown().await;
}

#[tokio::test]
async fn a_reader_that_rests_gives_its_stream_to_others_and_goes_on_later() {
    let (place, content) = (Place::new(), content(8 * MEBIBYTE));
    let (supervisor, client) = place.filesystem().await;
    upload(&client, "resting", &content).await;
    eventually("the upload's stream is closed", || client.connections().streams() == 0).await;
    let mut reader = client.read(&path("/blobs/resting"), 0, None).await.unwrap();
    let first = reader.try_next().await.unwrap().unwrap();
    assert_eq!(client.connections().streams(), 1);
    // Once the chunk that is read ahead waits for its reader, a minute is enough.
    for _ in 0..100 {
        sleep(Duration::from_millis(20)).await;
        tokio::time::pause();
        tokio::time::advance(PROGRESS_TIMEOUT).await;
        tokio::time::resume();
        if client.connections().streams() == 0 {
            break;
        }
    }
    assert_eq!(client.connections().streams(), 0, "a reader that rests keeps its stream");
    let rest: Vec<Bytes> = reader.try_collect().await.unwrap();
    assert!([first.as_ref(), &rest.concat()].concat() == content);
    supervisor.shutdown().await;
}
