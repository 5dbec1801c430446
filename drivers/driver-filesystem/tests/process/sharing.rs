//! Two driver processes and one store: refused, or without harm to each other.

use driver_testsuite::{Running, reason};
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::support::{launch, refusal, start, try_start};

const SHARED: &[(&str, &str)] = &[("shared", "true")];
const READ_ONLY: &[(&str, &str)] = &[("readonly", "true")];

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_with_the_remedy() {
    tokio::join!(is_refused(&[], &[]), is_refused(&[], SHARED), is_refused(SHARED, &[]));
}

async fn is_refused(first: &[(&str, &str)], second: &[(&str, &str)]) {
    let place = tempfile::tempdir().unwrap();
    let _holder = start(place.path(), first).await;
    let (reason, message) = refusal(try_start(launch(), place.path(), second).await, place.path());
    assert_eq!(reason, Reason::Unavailable);
    assert!(message.contains("shared: true"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_is_being_killed_is_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let first = start(place.path(), &[]).await;
    let killed = async { drop(first) };
    let (second, ()) = tokio::join!(start(place.path(), &[]), killed);
    second.put("/a", "1").await.unwrap();
}

#[tokio::test]
async fn a_reader_needs_no_lock_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let writer = start(place.path(), &[]).await;
    let reader = start(place.path(), READ_ONLY).await;
    assert!(reader.capabilities().read_only && reader.capabilities().shared);
    writer.put("/a", "1").await.unwrap();
    assert_eq!(reader.content("/a").await.unwrap(), b"1");
    assert_eq!(reason(reader.put("/a", "2").await), Reason::ReadOnly);

    let untouched = tempfile::tempdir().unwrap();
    let reader = start(untouched.path(), READ_ONLY).await;
    assert!(reader.names("/").await.unwrap().is_empty());
    assert_eq!(std::fs::read_dir(untouched.path()).unwrap().count(), 0);
    let missing = untouched.path().join("none");
    assert_eq!(reason(try_start(launch(), &missing, READ_ONLY).await), Reason::ConfigInvalid);
}

#[tokio::test]
async fn sharers_see_each_other_at_once() {
    let place = tempfile::tempdir().unwrap();
    let (here, there) = (start(place.path(), SHARED).await, start(place.path(), SHARED).await);
    for round in 0..50_u8 {
        let path = format!("/r/{round}/link");
        here.put(&path, vec![round]).await.unwrap();
        assert_eq!(there.content(&path).await.unwrap(), [round]);
        assert_eq!(there.names("/r").await.unwrap(), [round.to_string()]);
        there.delete(&path, false).await.unwrap();
        assert_eq!(reason(here.stat("/r").await), Reason::NotFound);
    }
    there.put_if("/once", "1", true).await.unwrap();
    assert_eq!(reason(here.put_if("/once", "2", true).await), Reason::AlreadyExists);
    assert_eq!(here.content("/once").await.unwrap(), b"1");
}

#[tokio::test]
async fn a_newer_writer_fences_those_in_other_processes() {
    for parameters in [SHARED, &[]] {
        let place = tempfile::tempdir().unwrap();
        let here = start(place.path(), parameters).await;
        let elsewhere = if parameters.is_empty() { None } else { Some(start(place.path(), parameters).await) };
        let there = elsewhere.as_ref().unwrap_or(&here);

        let mut old = here.open("/u/data", 0).await.unwrap();
        old.data(&[1; 1000]).await;
        assert_eq!(old.flush().await.unwrap(), 1000);
        let mut new = there.open("/u/data", 500).await.unwrap();
        old.data(&[9; 1000]).await;
        assert_eq!(reason(old.flush().await), Reason::Fenced);
        new.data(&[2; 500]).await;
        assert_eq!(new.flush().await.unwrap(), 1000);

        assert_eq!(reason(here.commit("/u/data", "/blob", 999).await), Reason::OffsetInvalid);
        new.data(&[3; 1]).await;
        assert_eq!(new.flush().await.unwrap(), 1001);
        here.commit("/u/data", "/blob", 1001).await.unwrap();
        new.data(&[9; 1000]).await;
        assert_eq!(reason(new.flush().await), Reason::Fenced);
        there.commit("/u/data", "/blob", 1001).await.unwrap();
        assert_eq!(there.content("/blob").await.unwrap(), [vec![1; 500], vec![2; 500], vec![3; 1]].concat());
        assert!(!place.path().join("u/~writers").exists());
    }
}

#[tokio::test]
async fn what_another_process_committed_is_committed() {
    let place = tempfile::tempdir().unwrap();
    let (here, there) = (start(place.path(), SHARED).await, start(place.path(), SHARED).await);
    let mut writing = here.stage("/u/data", &[1; 1000]).await.unwrap();
    there.commit("/u/data", "/blob", 1000).await.unwrap();
    assert_eq!(reason(here.commit("/u/data", "/blob", 999).await), Reason::NotFound);
    here.commit("/u/data", "/blob", 1000).await.unwrap();
    assert_eq!(reason(writing.ended().await), Reason::Fenced);

    let _older = here.stage("/v/data", &[2; 1000]).await.unwrap();
    let _newer = there.open("/v/data", 1000).await.unwrap();
    assert_eq!(reason(here.commit("/v/data", "/other", 1000).await), Reason::Fenced);
    there.commit("/v/data", "/other", 1000).await.unwrap();
    assert_eq!(here.content("/other").await.unwrap(), [2; 1000]);
}

#[tokio::test]
async fn deleting_an_upload_ends_its_writers_everywhere() {
    for recursive in [true, false] {
        let place = tempfile::tempdir().unwrap();
        let (here, there) = (start(place.path(), SHARED).await, start(place.path(), SHARED).await);
        let mut writing = here.open("/u/data", 0).await.unwrap();
        writing.data(&[1; 1000]).await;
        writing.flush().await.unwrap();
        there.delete(if recursive { "/u" } else { "/u/data" }, recursive).await.unwrap();
        writing.data(&[1; 1000]).await;
        let ended = reason(writing.flush().await);
        assert!(matches!(ended, Reason::Fenced | Reason::NotFound), "{ended:?}");
        assert_eq!(reason(here.open("/u/data", 1).await), Reason::NotFound);
        assert_eq!(reason(there.commit("/u/data", "/blob", 1000).await), Reason::NotFound);
        assert!(!place.path().join("u").exists());
    }
}

/// Each writes its own number from where the other was, until it is fenced.
async fn write_as(driver: &Running, number: u8, rounds: usize) {
    for _ in 0..rounds {
        let Ok(mut writing) = driver.open("/u/data", 0).await else { continue };
        for _ in 0..4 {
            writing.data(&[number; 70_000]).await;
            if writing.flush().await.is_err() {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_fight_for_a_session_never_mix_their_bytes() {
    let place = tempfile::tempdir().unwrap();
    let (here, there) = (start(place.path(), SHARED).await, start(place.path(), SHARED).await);
    for round in 0..10 {
        tokio::join!(write_as(&here, 1, 6), write_as(&there, 2, 6));
        let size = here.stat("/u/data").await.unwrap().size;
        here.commit("/u/data", &format!("/blob/{round}"), size).await.unwrap();
        let content = there.content(&format!("/blob/{round}")).await.unwrap();
        assert!(content.iter().all(|byte| *byte == content[0]), "round {round}");
    }
}
