//! Where the bytes of a session go, and what is left of it.

use driver_testsuite::{content, reason};
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::server::{Failure, Quirks, Server};
use crate::support::{NO_SWEEP, PART, start};

#[tokio::test]
async fn a_session_for_its_target_is_neither_moved_nor_copied() {
    let server = Server::start();
    let driver = start(&server, &[NO_SWEEP]).await;
    let wanted = content(1, 3 * PART + 17);
    let mut session = driver.open_for("/up/data", 0, "/target").await.unwrap();
    session.data(&wanted).await;
    session.flush().await.unwrap();
    assert_eq!(server.uploads(), ["target"]);
    server.take_requests();
    driver.commit("/up/data", "/target", wanted.len() as u64).await.unwrap();
    let requests = server.take_requests();
    assert!(!requests.keys().any(|name| name.contains("Copy")), "{requests:?}");
    assert_eq!(driver.content("/target").await.unwrap(), wanted);
    assert_eq!((server.keys(), server.uploads()), (vec!["target".to_owned()], vec![]));
}

#[tokio::test]
async fn any_other_session_is_copied_once_and_leaves_nothing() {
    let server = Server::start();
    let driver =
        start(&server, &[("multipartcopythresholdsize", "5242880"), ("multipartcopychunksize", "5242880")]).await;
    for (number, size) in [(1, PART), (2, 4 * PART + 1)] {
        let wanted = content(number, size);
        let _session = driver.stage("/up/data", &wanted).await.unwrap();
        driver.commit("/up/data", "/target", size as u64).await.unwrap();
        assert_eq!(driver.content("/target").await.unwrap(), wanted);
        assert_eq!((server.keys(), server.uploads()), (vec!["target".to_owned()], vec![]));
    }
}

#[tokio::test]
async fn a_session_of_many_parts_is_gone_on_with_and_committed_elsewhere() {
    let server = Server::start();
    let wanted = content(3, 24 * PART);
    for (from, to) in [(0, 9), (9, 10), (8, 24)] {
        // Each a process of its own, gone before the next one comes.
        let driver = start(&server, &[]).await;
        let mut session = driver.open("/up/data", (from * PART) as u64).await.unwrap();
        session.data(&wanted[from * PART..to * PART]).await;
        assert_eq!(session.flush().await.unwrap(), (to * PART) as u64);
    }
    let driver = start(&server, &[]).await;
    driver.commit("/up/data", "/target", wanted.len() as u64).await.unwrap();
    assert_eq!(driver.content("/target").await.unwrap(), wanted);
    assert_eq!((server.keys(), server.uploads()), (vec!["target".to_owned()], vec![]));
}

#[tokio::test]
async fn a_small_content_needs_no_upload() {
    let server = Server::start();
    let driver = start(&server, &[NO_SWEEP]).await;
    server.take_requests();
    driver.store("a", b"content").await.unwrap();
    let requests = server.take_requests();
    assert!(!requests.keys().any(|name| name.contains("Upload")), "{requests:?}");
    assert_eq!(server.keys().len(), 1);
}

#[tokio::test]
async fn a_deleted_session_frees_its_parts() {
    let server = Server::start();
    let driver = start(&server, &[]).await;
    for (staging, doomed, recursive) in [("/up/data", "/up/data", false), ("/up/data", "/up", true)] {
        let _session = driver.stage(staging, &content(1, 2 * PART)).await.unwrap();
        assert_eq!(server.uploads().len(), 1);
        driver.delete(doomed, recursive).await.unwrap();
        assert_eq!((server.keys(), server.uploads()), (vec![], vec![]));
    }
}

#[tokio::test]
async fn sessions_of_paths_too_long_for_a_key_are_told_apart() {
    let server = Server::start();
    let driver = start(&server, &[]).await;
    let deep = format!("/{}", vec!["component"; 90].join("/"));
    let stagings = ["one/data", "other/data"].map(|name| format!("{deep}/{name}"));
    let mut sessions = Vec::new();
    for (number, staging) in (1..).zip(&stagings) {
        sessions.push(driver.stage(staging, &content(number, PART)).await.unwrap());
    }
    driver.delete(&format!("{deep}/one"), true).await.unwrap();
    assert_eq!(reason(driver.commit(&stagings[0], "/target", PART as u64).await), Reason::NotFound);
    driver.commit(&stagings[1], "/target", PART as u64).await.unwrap();
    assert_eq!(driver.content("/target").await.unwrap(), content(2, PART));
    driver.delete("/component", true).await.unwrap();
    assert_eq!(server.keys(), ["target"]);
}

#[tokio::test]
async fn a_session_of_another_part_size_starts_over() {
    let server = Server::start();
    let driver = start(&server, &[]).await;
    driver.stage("/up/data", &content(1, 2 * PART)).await.unwrap().end().await.unwrap();
    let other = start(&server, &[("chunksize", "6291456")]).await;
    assert_eq!(reason(other.open("/up/data", 6 << 20).await), Reason::OffsetInvalid);
    other.commit("/up/data", "/target", 2 * PART as u64).await.unwrap();
    assert_eq!(other.content("/target").await.unwrap(), content(1, 2 * PART));
}

#[tokio::test]
async fn a_commit_that_the_server_failed_can_be_repeated() {
    let server = Server::start();
    let driver = start(&server, &[]).await;
    let wanted = content(1, PART + 5);
    for target in ["/hinted", "/another"] {
        let mut session = driver.open_for("/up/data", 0, "/hinted").await.unwrap();
        session.data(&wanted).await;
        session.flush().await.unwrap();
        server.set_quirks(Quirks { fails: Some(Failure::Denied), ..Quirks::default() });
        assert_eq!(reason(driver.commit("/up/data", target, wanted.len() as u64).await), Reason::AccessDenied);
        server.set_quirks(Quirks::default());
        driver.commit("/up/data", target, wanted.len() as u64).await.unwrap();
        assert_eq!(driver.content(target).await.unwrap(), wanted);
        driver.delete(target, false).await.unwrap();
        assert_eq!((server.keys(), server.uploads()), (vec![], vec![]));
    }
}

#[tokio::test]
async fn a_session_passes_over_nobodys_content() {
    let server = Server::start();
    let driver = start(&server, &[]).await;
    let wanted = content(1, PART);
    let mut session = driver.open_for("/up/data", 0, "/hinted").await.unwrap();
    session.data(&wanted).await;
    session.flush().await.unwrap();
    driver.put("/hinted", "somebody's").await.unwrap();
    assert_eq!(reason(driver.commit("/up/data", "/another", PART as u64).await), Reason::PathConflict);
    assert_eq!(driver.content("/hinted").await.unwrap(), b"somebody's");
    driver.commit("/up/data", "/hinted", PART as u64).await.unwrap();
    assert_eq!(driver.content("/hinted").await.unwrap(), wanted);
}
