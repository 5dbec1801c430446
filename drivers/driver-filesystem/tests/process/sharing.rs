//! Two driver processes and one store: refused, or without harm to each other.

use std::time::Instant;

use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::support::{Driver, reason};

const SHARED: &[(&str, &str)] = &[("shared", "true")];

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_with_the_remedy() {
    tokio::join!(is_refused(&[], &[]), is_refused(&[], SHARED), is_refused(SHARED, &[]));
}

async fn is_refused(first: &[(&str, &str)], second: &[(&str, &str)]) {
    let place = tempfile::tempdir().unwrap();
    let _holder = Driver::at(place.path(), first).await;
    let refused = Driver::unconfigured(&[]).await.configure(place.path(), second).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Unavailable);
    assert!(refused.message.contains("shared: true"), "{}", refused.message);
    assert!(!refused.message.contains(place.path().to_str().unwrap()), "{}", refused.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_a_killed_driver_keeps_nobody_waiting() {
    let place = tempfile::tempdir().unwrap();
    let mut first = Driver::at(place.path(), &[]).await;
    let second = Driver::unconfigured(&[]).await;
    let configured = second.configure(place.path(), &[]);
    let killed = async { first.kill() };
    let begun = Instant::now();
    assert!(tokio::join!(configured, killed).0.is_ok());
    assert!(begun.elapsed().as_secs() < 3);
}

#[tokio::test]
async fn a_reader_needs_no_lock_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let writer = Driver::at(place.path(), &[]).await;
    let reader = Driver::unconfigured(&[]).await;
    let capabilities = reader.configure(place.path(), &[("readonly", "true")]).await.unwrap();
    assert!(capabilities.read_only && capabilities.shared);
    writer.put("/a", b"1").await.unwrap();
    assert_eq!(reader.get("/a").await.unwrap(), b"1");
    assert_eq!(reason(reader.put("/a", b"2").await), Reason::ReadOnly);

    let untouched = tempfile::tempdir().unwrap();
    let reader = Driver::at(untouched.path(), &[("readonly", "true")]).await;
    assert!(reader.names("/").await.is_empty());
    assert_eq!(std::fs::read_dir(untouched.path()).unwrap().count(), 0);
    let missing =
        Driver::unconfigured(&[]).await.configure(&untouched.path().join("none"), &[("readonly", "true")]).await;
    assert_eq!(reason(missing), Reason::ConfigInvalid);
}

#[tokio::test]
async fn sharers_see_each_other_at_once() {
    let place = tempfile::tempdir().unwrap();
    let (here, there) = (Driver::at(place.path(), SHARED).await, Driver::at(place.path(), SHARED).await);
    for round in 0..50_u8 {
        let path = format!("/r/{round}/link");
        here.put(&path, &[round]).await.unwrap();
        assert_eq!(there.get(&path).await.unwrap(), [round]);
        assert_eq!(there.names("/r").await, [round.to_string()]);
        there.delete(&path, false).await.unwrap();
        assert_eq!(reason(here.stat("/r").await), Reason::NotFound);
    }
    assert_eq!(
        reason(there.put_if_absent("/once", b"1").await.and(here.put_if_absent("/once", b"2").await)),
        Reason::AlreadyExists
    );
    assert_eq!(here.get("/once").await.unwrap(), b"1");
}

#[tokio::test]
async fn a_newer_writer_fences_those_in_other_processes() {
    for parameters in [SHARED, &[]] {
        let place = tempfile::tempdir().unwrap();
        let here = Driver::at(place.path(), parameters).await;
        let elsewhere = if parameters.is_empty() { None } else { Some(Driver::at(place.path(), parameters).await) };
        let there = elsewhere.as_ref().unwrap_or(&here);

        let mut old = here.open("/u/data", 0).await.unwrap();
        old.write(&[1; 1000]).await;
        assert_eq!(old.flush().await.unwrap(), 1000);
        let mut new = there.open("/u/data", 500).await.unwrap();
        old.write(&[9; 1000]).await;
        assert_eq!(reason(old.flush().await), Reason::Fenced);
        new.write(&[2; 500]).await;
        assert_eq!(new.flush().await.unwrap(), 1000);

        assert_eq!(reason(here.commit("/u/data", "/blob", 999).await), Reason::OffsetInvalid);
        new.write(&[3; 1]).await;
        assert_eq!(new.flush().await.unwrap(), 1001);
        here.commit("/u/data", "/blob", 1001).await.unwrap();
        new.write(&[9; 1000]).await;
        assert_eq!(reason(new.flush().await), Reason::Fenced);
        there.commit("/u/data", "/blob", 1001).await.unwrap();
        assert_eq!(there.get("/blob").await.unwrap(), [vec![1; 500], vec![2; 500], vec![3; 1]].concat());
        assert!(!place.path().join("u/~writers").exists());
    }
}

#[tokio::test]
async fn deleting_an_upload_ends_its_writers_everywhere() {
    for recursive in [true, false] {
        let place = tempfile::tempdir().unwrap();
        let (here, there) = (Driver::at(place.path(), SHARED).await, Driver::at(place.path(), SHARED).await);
        let mut writing = here.open("/u/data", 0).await.unwrap();
        writing.write(&[1; 1000]).await;
        writing.flush().await.unwrap();
        there.delete(if recursive { "/u" } else { "/u/data" }, recursive).await.unwrap();
        writing.write(&[1; 1000]).await;
        let ended = reason(writing.flush().await);
        assert!(matches!(ended, Reason::Fenced | Reason::NotFound), "{ended:?}");
        assert_eq!(here.open("/u/data", 1).await.err().unwrap().reason, Reason::NotFound);
        assert_eq!(reason(there.commit("/u/data", "/blob", 1000).await), Reason::NotFound);
        assert!(!place.path().join("u").exists());
    }
}

/// Each writes its own number from where the other was, until it is fenced.
async fn write_as(driver: &Driver, number: u8, rounds: usize) {
    for _ in 0..rounds {
        let Ok(mut writing) = driver.open("/u/data", 0).await else { continue };
        for _ in 0..4 {
            writing.write(&[number; 70_000]).await;
            if writing.flush().await.is_err() {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_fight_for_a_session_never_mix_their_bytes() {
    let place = tempfile::tempdir().unwrap();
    let (here, there) = (Driver::at(place.path(), SHARED).await, Driver::at(place.path(), SHARED).await);
    for round in 0..10 {
        tokio::join!(write_as(&here, 1, 6), write_as(&there, 2, 6));
        let size = here.stat("/u/data").await.unwrap().size;
        here.commit("/u/data", &format!("/blob/{round}"), size).await.unwrap();
        let content = there.read(&format!("/blob/{round}")).await.unwrap();
        assert!(content.iter().all(|byte| *byte == content[0]), "round {round}");
    }
}
