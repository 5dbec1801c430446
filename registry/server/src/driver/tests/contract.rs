//! What the caller does after each answer of a driver, as the protocol's tables have it.

use bytes::Bytes;
use futures::TryStreamExt;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;

use super::fake::{GRANULARITY, Script, Stage, client_of, failure, transport_fault};
use super::{content, path};
use crate::driver::DriverErrorKind as Kind;
use crate::driver::settings::Endpoint;

fn faults(faults: impl Into<std::collections::VecDeque<Status>>) -> Script {
    Script { faults: faults.into(), ..Script::default() }
}

fn breaks(stored: &Bytes, breaks: &[(usize, Status)]) -> Script {
    Script { stored: stored.clone(), breaks: breaks.iter().cloned().collect(), ..Script::default() }
}

#[tokio::test]
async fn what_may_pass_is_repeated() {
    let passing =
        [transport_fault(), failure(Reason::Unavailable), failure(Reason::Throttled), failure(Reason::NotConfigured)];
    let stage = Stage::set(faults(passing));
    stage.client.stat(&path("/a")).await.unwrap();
    assert_eq!(stage.calls(), ["stat"; 5]);
}

#[tokio::test]
async fn what_would_not_change_is_reported_at_once() {
    let rows = [
        (Reason::NotFound, Kind::NotFound),
        (Reason::PathConflict, Kind::PathConflict),
        (Reason::NoSpace, Kind::NoSpace),
        (Reason::ReadOnly, Kind::ReadOnly),
        (Reason::AccessDenied, Kind::AccessDenied),
        (Reason::Unsupported, Kind::Unsupported),
        (Reason::Corrupt, Kind::Corrupt),
        (Reason::RequestInvalid, Kind::Internal),
        (Reason::Internal, Kind::Internal),
    ];
    for (reason, kind) in rows {
        let stage = Stage::set(faults([failure(reason)]));
        let error = stage.client.put(&path("/a"), Bytes::from_static(b"a")).await.unwrap_err();
        assert_eq!((error.kind(), stage.calls()), (kind, vec!["put"]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_not_there_is_waited_for_until_the_deadline() {
    let client = client_of(&Endpoint::Unix("/nowhere/driver.sock".into()));
    let started = tokio::time::Instant::now();
    let error = client.stat(&path("/a")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!((14..=15).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_move_whose_answer_was_lost_has_happened_when_its_target_is_there() {
    let (source, target) = (path("/a"), path("/b"));
    let stage = Stage::set(faults([transport_fault(), failure(Reason::NotFound)]));
    stage.client.rename(&source, &target).await.unwrap();
    assert_eq!(stage.calls(), ["move", "move", "stat"]);
    let stage = Stage::set(faults([transport_fault(), failure(Reason::NotFound), failure(Reason::NotFound)]));
    assert_eq!(stage.client.rename(&source, &target).await.unwrap_err().kind(), Kind::NotFound);
    let stage = Stage::set(faults([failure(Reason::NotFound)]));
    assert_eq!(stage.client.rename(&source, &target).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(stage.calls(), ["move"]);
}

#[tokio::test]
async fn a_content_too_large_for_one_message_is_streamed() {
    let stored = content(3 << 20);
    let stage = Stage::set(Script { stored: stored.slice(..1 << 20), ..faults([failure(Reason::TooLarge)]) });
    assert!(stage.client.get(&path("/a"), 4 << 20).await.unwrap() == stored.slice(..1 << 20));
    assert_eq!(stage.calls(), ["get", "read"]);
    let stage = Stage::set(faults([failure(Reason::TooLarge)]));
    assert_eq!(stage.client.get(&path("/a"), 1 << 20).await.unwrap_err().kind(), Kind::TooLarge);
    let stage = Stage::set(Script { stored: Bytes::from_static(b"four"), ..Script::default() });
    assert_eq!(stage.client.get(&path("/a"), 3).await.unwrap_err().kind(), Kind::TooLarge);
}

#[tokio::test]
async fn a_read_goes_on_where_it_broke_and_never_with_another_version() {
    let stored = content(10_000);
    let stage = Stage::set(breaks(
        &stored,
        &[(100, transport_fault()), (0, transport_fault()), (7, failure(Reason::Unavailable))],
    ));
    let reader = stage.client.read(&path("/a"), 50, Some(9000)).await.unwrap();
    assert_eq!(reader.info().size, 10_000);
    let read: Vec<Bytes> = reader.try_collect().await.unwrap();
    assert!(read.concat() == stored[50..9050]);
    assert_eq!(stage.calls(), ["read"; 4]);

    let stage = Stage::set(breaks(&stored, &[(100, transport_fault())]));
    let reader = stage.client.read(&path("/a"), 0, None).await.unwrap();
    stage.follow_with(failure(Reason::VersionMismatch));
    let error = reader.try_collect::<Vec<Bytes>>().await.unwrap_err();
    assert_eq!(error.kind(), Kind::VersionMismatch);
}

#[tokio::test]
async fn a_read_that_ends_too_early_is_no_content() {
    let stage = Stage::set(breaks(&content(1000), &[(10, Status::ok(""))]));
    let reader = stage.client.read(&path("/a"), 0, None).await.unwrap();
    assert_eq!(reader.try_collect::<Vec<Bytes>>().await.unwrap_err().kind(), Kind::Protocol);
}

#[tokio::test]
async fn a_walk_goes_on_after_the_last_path_it_had() {
    let stage = Stage::set(breaks(&Bytes::new(), &[(1, transport_fault()), (0, failure(Reason::Unavailable))]));
    let found: Vec<_> = stage.client.walk(&path("/a"), Some(&path("/a/1"))).try_collect().await.unwrap();
    let found: Vec<String> = found.into_iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(found, ["/a/2", "/a/3", "/a/4", "/a/5", "/a/6", "/a/7", "/a/8", "/a/9"]);
    assert_eq!(stage.calls(), ["walk"; 3]);
}

#[tokio::test]
async fn a_session_sends_again_what_its_granularity_kept_back() {
    let all = content(20_123);
    let stage = Stage::set(breaks(&Bytes::new(), &[(2500, transport_fault()), (1, failure(Reason::Unavailable))]));
    let mut session = stage.client.open_session(&path("/staging"), 0, None).await.unwrap();
    for piece in all.chunks(333).map(|piece| all.slice_ref(piece)) {
        session.write(piece).await.unwrap();
    }
    assert_eq!(session.flush().await.unwrap(), 20_000);
    // The process dies with its answer to the first Commit, and the tail that only it had.
    stage.follow_with(transport_fault());
    session.commit(&path("/target")).await.unwrap();
    assert!(stage.stored() == all);
    assert_eq!(stage.calls(), ["write", "write", "write", "commit", "commit", "write", "commit"]);
}

#[tokio::test]
async fn a_fenced_session_stays_out_of_the_way_of_the_newer_one() {
    let stage = Stage::set(breaks(&Bytes::new(), &[(0, failure(Reason::Fenced))]));
    let mut session = stage.client.open_session(&path("/staging"), 0, None).await.unwrap();
    let _ = session.write(content(2000)).await;
    assert_eq!(session.flush().await.unwrap_err().kind(), Kind::Fenced);
    assert_eq!(session.write(content(1)).await.unwrap_err().kind(), Kind::Fenced);
    assert_eq!(stage.calls(), ["write"]);
}

#[tokio::test]
async fn an_acknowledgement_of_bytes_never_sent_is_nonsense() {
    let stage = Stage::set(Script { exaggeration: GRANULARITY, ..Script::default() });
    let mut session = stage.client.open_session(&path("/staging"), 0, None).await.unwrap();
    let _ = session.write(content(10)).await;
    assert_eq!(session.flush().await.unwrap_err().kind(), Kind::Protocol);
}

#[tokio::test]
async fn a_session_that_is_not_there_cannot_be_continued() {
    let stage = Stage::set(faults([failure(Reason::NotFound)]));
    let refused = stage.client.open_session(&path("/staging"), GRANULARITY, None).await;
    assert_eq!(refused.err().unwrap().kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_large_content_is_put_by_way_of_a_session() {
    let large = content((1 << 20) + 1);
    let stage = Stage::set(Script::default());
    stage.client.put_large(&path("/staging"), &path("/target"), large.clone()).await.unwrap();
    assert!(stage.stored() == large);
    assert_eq!(stage.calls(), ["write", "commit"]);
    let refused = stage.client.put(&path("/target"), large).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::TooLarge);
}
