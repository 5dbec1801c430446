//! A server that answers otherwise than it should.

use std::time::Duration;

use driver_testsuite::detail;
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, TryFutureExt};
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::server::{Failure, Quirks, Server};
use crate::support::{Reply, start};

#[tokio::test]
async fn every_failure_is_told_as_what_it_is() {
    let server = Server::start();
    let driver = start(&server, &[]).await;
    driver.put("/a", "content").await.unwrap();
    let rows = [
        (Failure::SlowDown, Reason::Throttled),
        (Failure::Internal, Reason::Unavailable),
        (Failure::Denied, Reason::AccessDenied),
        (Failure::Expired, Reason::AccessDenied),
        (Failure::NoBucket, Reason::Unavailable),
    ];
    for (failure, wanted) in rows {
        server.set_quirks(Quirks { fails: Some(failure), ..Quirks::default() });
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
            let error = detail(reply);
            assert_eq!(error.reason(), wanted, "{call} under {failure:?}");
            let asks = error.retry_after.is_some();
            assert_eq!(asks, wanted == Reason::Throttled, "{call} under {failure:?}");
        }
        server.set_quirks(Quirks::default());
        assert_eq!(driver.content("/a").await.unwrap(), b"content", "after {failure:?}");
    }
}

#[tokio::test]
async fn a_read_goes_on_where_its_connection_broke() {
    let server = Server::start();
    let driver = start(&server, &[]).await;
    let wanted = driver_testsuite::content(1, 3_000_000);
    driver.store("a", &wanted).await.unwrap();
    server.cut_bodies_after(700_000);
    server.take_requests();
    assert_eq!(driver.content(&driver.at("a")).await.unwrap(), wanted);
    assert!(server.take_requests()["GetObject"] >= 5);
    server.cut_bodies_after(0);
    let read = tokio::time::timeout(Duration::from_secs(20), driver.content(&driver.at("a"))).await.unwrap();
    assert!([Reason::Unavailable, Reason::Corrupt].contains(&detail(read).reason()));
}
