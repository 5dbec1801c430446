//! Every call breaks off at each of its requests in turn, and is repeated when the server answers again: nothing is lost.

use std::time::Duration;

use driver_testsuite::{Running, Session, content, reason};
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::server::{Failure, Quirks, Server};
use crate::support::{NO_SWEEP, PART, Reply, start};

/// No call makes as many requests.
const REQUESTS_MAX: usize = 60;

/// Does `call` after `prepare`, breaking off ever later until it is done undisturbed, and `repeat` each time it was not. The
/// server refuses one request, or that one and all after it.
async fn break_off<P, T>(
    server: &Server,
    prepare: impl AsyncFn() -> P,
    call: impl AsyncFn(&mut P) -> Reply<T>,
    repeat: impl AsyncFn(P),
) {
    for times in [1, usize::MAX] {
        let mut number = 0;
        loop {
            let mut prepared = prepare().await;
            server.set_quirks(Quirks {
                fails: Some(Failure::Denied),
                fails_after: number,
                fails_times: times,
                ..Quirks::default()
            });
            let reply = call(&mut prepared).await;
            let was_disturbed = server.take_quirks().fails_times != times;
            assert!(reply.is_ok() || reason(reply) == Reason::AccessDenied, "after {number} requests");
            repeat(prepared).await;
            if !was_disturbed {
                break;
            }
            number += 1;
            assert!(number < REQUESTS_MAX, "a call is not done in {REQUESTS_MAX} requests");
        }
        assert!(number > 2, "a call of {number} requests breaks off nowhere");
    }
}

async fn drained(driver: &Running, server: &Server, target: &str) {
    driver.delete(target, false).await.unwrap();
    driver.delete("/up", true).await.unwrap();
    assert_eq!((server.keys(), server.uploads()), (vec![], vec![]));
}

#[tokio::test]
async fn a_commit_is_repeated_wherever_it_broke_off() {
    // The last one needs numbers for more parts than it has.
    for (target, size) in [("/hinted", 5), ("/hinted", PART), ("/another", PART + 5), ("/hinted", 4 * PART + 5)] {
        let server = Server::start();
        let driver = start(&server, &[NO_SWEEP]).await;
        let wanted = content(1, size);
        let prepare = async || {
            let hint = if target == "/hinted" { target } else { "" };
            let mut session = driver.open_for("/up/data", 0, hint).await.unwrap();
            session.data(&wanted).await;
            session.flush().await.unwrap();
            // What is a multiple of parts needs no stream.
            if size == PART { session.end().await.map(|()| None).unwrap() } else { Some(session) }
        };
        let commit = async || driver.commit("/up/data", target, size as u64).await;
        break_off(
            &server,
            prepare,
            async |_| commit().await,
            async |session| {
                commit().await.unwrap();
                drop(session);
                assert_eq!(driver.content(target).await.unwrap(), wanted, "{target} {size}");
                drained(&driver, &server, target).await;
            },
        )
        .await;
    }
}

/// Writes what `wanted` has from `offset` on, and publishes all of it.
async fn finish(driver: &Running, mut session: Session, wanted: &[u8], offset: usize) {
    session.data(&wanted[offset..]).await;
    session.flush().await.unwrap();
    driver.commit("/up/data", "/target", wanted.len() as u64).await.unwrap();
    assert_eq!(driver.content("/target").await.unwrap(), wanted);
}

#[tokio::test]
async fn a_session_is_opened_again_wherever_that_broke_off() {
    let server = Server::start();
    let driver = start(&server, &[NO_SWEEP]).await;
    let wanted = content(1, 2 * PART);
    let prepare = async || drop(driver.stage("/up/data", &wanted[..PART]).await.unwrap());
    let open = async || driver.open("/up/data", PART as u64).await;
    break_off(
        &server,
        prepare,
        async |()| open().await,
        async |()| {
            finish(&driver, open().await.unwrap(), &wanted, PART).await;
            drained(&driver, &server, "/target").await;
        },
    )
    .await;
}

#[tokio::test]
async fn what_was_flushed_stays_wherever_a_write_broke_off() {
    let server = Server::start();
    let driver = start(&server, &[NO_SWEEP]).await;
    let wanted = content(1, 5 * PART);
    let prepare = async || driver.stage("/up/data", &wanted[..4 * PART]).await.unwrap();
    let rest = &wanted[4 * PART..];
    let write = async |session: &mut Session| {
        session.data(rest).await;
        session.flush().await
    };
    break_off(&server, prepare, write, async |session| {
        drop(session);
        let again = driver.open("/up/data", 4 * PART as u64).await.unwrap();
        finish(&driver, again, &wanted, 4 * PART).await;
        drained(&driver, &server, "/target").await;
    })
    .await;
}

#[tokio::test]
async fn a_move_is_repeated_wherever_it_broke_off() {
    let server = Server::start();
    let parameters = [NO_SWEEP, ("multipartcopythresholdsize", "5242880"), ("multipartcopychunksize", "5242880")];
    let driver = start(&server, &parameters).await;
    for size in [7, PART + 1] {
        let wanted = content(1, size);
        let prepare = async || server.put("source", wanted.clone(), Duration::ZERO);
        let rename = async || driver.rename("/source", "/target").await;
        break_off(
            &server,
            prepare,
            async |()| rename().await,
            async |()| {
                // The mark of the first one would hold up the second one until it is stale.
                server.remove("~moves/");
                match rename().await {
                    Ok(info) => assert_eq!(info.size, size as u64),
                    // It was done to its last step.
                    gone => assert_eq!(reason(gone), Reason::NotFound),
                }
                assert_eq!(driver.content("/target").await.unwrap(), wanted);
                assert_eq!(reason(driver.stat("/source").await), Reason::NotFound);
                driver.delete("/target", false).await.unwrap();
            },
        )
        .await;
    }
}
