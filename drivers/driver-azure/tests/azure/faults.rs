//! A server that answers otherwise than it should.

use std::time::{Duration, Instant};

use driver_testsuite::{Running, detail, reason};
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, TryFutureExt};
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::fake::{Failure, Fake};

type Reply<T> = Result<T, tonic::Status>;

const BUSY: Failure = Failure { status: 503, code: "ServerBusy", retry_after: Some(30) };

#[tokio::test]
async fn every_failure_is_told_as_what_it_is() {
    let server = Fake::start();
    let driver = Running::start(&server.launch_with_key()).await.unwrap();
    driver.put("/a", "content").await.unwrap();
    let failure = |status, code| Failure { status, code, retry_after: None };
    let rows = [
        (BUSY, Reason::Throttled),
        (failure(500, "InternalError"), Reason::Unavailable),
        (failure(403, "AuthenticationFailed"), Reason::AccessDenied),
        (failure(404, "ContainerNotFound"), Reason::Unavailable),
        (failure(409, "BlobImmutableDueToPolicy"), Reason::AccessDenied),
    ];
    for (failure, wanted) in rows {
        server.state().fails = Some(failure);
        let calls: Vec<(&str, BoxFuture<'_, Reply<()>>)> = vec![
            ("Stat", driver.stat("/a").map_ok(drop).boxed()),
            ("Get", driver.get("/a").map_ok(drop).boxed()),
            ("Put", driver.put("/b", "x").map_ok(drop).boxed()),
            ("Read", driver.read("/a", 0, None).map_ok(drop).boxed()),
            ("List", driver.list("/", "", 0).map_ok(drop).boxed()),
            ("Move", driver.rename("/a", "/b").map_ok(drop).boxed()),
            ("Delete", driver.delete("/a", false).boxed()),
            ("Write", async { driver.open("/up", 0).await?.flush().await }.map_ok(drop).boxed()),
            ("Commit", driver.commit("/up", "/b", 0).map_ok(drop).boxed()),
        ];
        let replies = join_all(calls.into_iter().map(async |(call, reply)| (call, reply.await))).await;
        for (call, reply) in replies {
            assert_eq!(detail(reply).reason(), wanted, "{call} under {failure:?}");
        }
        server.state().fails = None;
        assert_eq!(driver.content("/a").await.unwrap(), b"content", "after {failure:?}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_patience_is_believed_and_not_waited_for() {
    let server = Fake::start();
    let driver = Running::start(&server.launch_with_key()).await.unwrap();
    server.state().fails = Some(BUSY);
    let begun = Instant::now();
    let error = detail(driver.stat("/a").await);
    assert_eq!(error.retry_after.map(|asked| asked.seconds), Some(30));
    assert!(begun.elapsed() < Duration::from_secs(20), "the driver waited itself");
}

#[tokio::test]
async fn clocks_that_differ_are_told() {
    let server = Fake::start();
    let driver = Running::start(&server.launch_with_key()).await.unwrap();
    {
        let mut state = server.state();
        state.late = Duration::from_secs(3600);
        state.fails = Some(Failure { status: 403, code: "AuthenticationFailed", retry_after: None });
    }
    let status = driver.stat("/a").await.unwrap_err();
    assert!(status.message().starts_with("the clocks of this host"), "{status:?}");
    assert_eq!(reason(Reply::<()>::Err(status)), Reason::AccessDenied);
}

#[tokio::test]
async fn a_copy_that_takes_time_is_awaited_and_hidden() {
    let server = Fake::start();
    server.put("a", "content");
    server.state().copies = vec!["pending", "pending", "pending", "success"];
    let driver = Running::start(&server.launch_with_key()).await.unwrap();
    driver.rename("/a", "/b").await.unwrap();
    assert_eq!(driver.content("/b").await.unwrap(), b"content");
    assert_eq!(server.keys(), ["b"]);
}

#[tokio::test]
async fn a_copy_under_way_is_no_content() {
    let server = Fake::start();
    server.put("a", "content");
    server.state().copies = vec!["pending"; 1000];
    let driver = Running::start(&server.launch_with_key().parameter("retry_delay", "20ms")).await.unwrap();
    let moving = driver.rename("/a", "/b");
    let looking = async {
        while server.keys().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let seen = (reason(driver.get("/b").await), reason(driver.read("/b", 0, None).await));
        let stat = reason(driver.stat("/b").await);
        let listed = driver.list_all("/", "", 0).await.unwrap();
        server.state().copies = vec!["pending", "success"];
        (seen, stat, listed.len())
    };
    let (moved, seen) = tokio::join!(moving, looking);
    moved.unwrap();
    assert_eq!(seen, ((Reason::NotFound, Reason::NotFound), Reason::NotFound, 1));
}

#[tokio::test]
async fn a_copy_that_is_given_up_is_no_success() {
    let server = Fake::start();
    for (copies, retries) in [(vec!["pending", "aborted"], "5"), (vec!["pending"; 100], "-1"), (vec!["failed"], "5")] {
        server.put("a", "content");
        server.state().copies = copies.clone();
        let driver = Running::start(&server.launch_with_key().parameter("max_retries", retries)).await.unwrap();
        assert_eq!(reason(driver.rename("/a", "/b").await), Reason::Unavailable, "{copies:?}");
        assert_eq!(driver.content("/a").await.unwrap(), b"content", "the source stays");
        assert_eq!(reason(driver.stat("/b").await), Reason::NotFound, "{copies:?}");
    }
}

#[tokio::test]
async fn a_read_goes_on_where_its_connection_broke() {
    let server = Fake::start();
    let driver = Running::start(&server.launch_with_key()).await.unwrap();
    let wanted = driver_testsuite::content(1, 1_000_000);
    driver.put("/a", wanted.clone()).await.unwrap();
    server.state().cut_after = Some(300_000);
    assert_eq!(driver.content("/a").await.unwrap(), wanted);
    server.state().cut_after = Some(0);
    let read = tokio::time::timeout(Duration::from_secs(60), driver.content("/a")).await.unwrap();
    assert!([Reason::Unavailable, Reason::Corrupt].contains(&detail(read).reason()));
}
