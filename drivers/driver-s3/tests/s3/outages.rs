//! A bad network is the normal case: whatever happens between the driver and the server, what was answered is true.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use driver_testsuite::{Client, Driver, Launch, reason};
use futures::future::join_all;
use futures::{FutureExt, TryFutureExt};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tokio::time::{sleep, timeout};

use crate::history::Caller;
use crate::network::Network;
use crate::server::{Failure, Quirks, Server};
use crate::support::NO_SWEEP;

const CALLERS: u64 = 6;
const STEPS: usize = 14;
/// No history takes as long.
const LIMIT: Duration = Duration::from_secs(300);
/// All attempts at one request.
const HANG_LIMIT: Duration = Duration::from_secs(75);
/// KiB by which the driver may grow over what it has when nothing goes on: of each session one part at hand and four on their
/// way, read buffers, and what an allocator keeps.
const GROWTH_MAX: usize = 192 << 10;

/// Drives callers against `driver`, while `meanwhile` goes on; then what they hold for true is looked at past it and past the
/// network. How many calls failed.
async fn run(
    seed: u64,
    server: &Server,
    (driver, client): (Driver, Client),
    meanwhile: impl AsyncFnOnce(&AtomicBool),
) -> usize {
    let mut callers: Vec<_> = (1..=CALLERS).map(|number| Caller::new(client.clone(), number, seed)).collect();
    let (is_over, largest) = (AtomicBool::new(false), AtomicUsize::new(0));
    let before = driver.vitals().unwrap().resident;
    let steps = async {
        join_all(callers.iter_mut().map(async |caller| {
            for _ in 0..STEPS {
                caller.step().await;
            }
        }))
        .await;
        is_over.store(true, Ordering::Relaxed);
    };
    let watch = async {
        while !is_over.load(Ordering::Relaxed) {
            // One that has died has none.
            let resident = driver.vitals().unwrap().resident;
            largest.fetch_max(resident, Ordering::Relaxed);
            sleep(Duration::from_millis(20)).await;
        }
    };
    let all = async { tokio::join!(steps, watch, meanwhile(&is_over)) };
    timeout(LIMIT, all).await.unwrap();
    let grown = largest.into_inner().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "the driver grew by {grown} KiB over {before} KiB");
    server.end_mishaps();
    server.set_quirks(Quirks::default());
    let other = Driver::start(&server.launch()).await.unwrap();
    let other = other.configured().await.map(|client| (client, other)).unwrap();
    for caller in &mut callers {
        caller.verify(other.0.clone()).await;
    }
    callers.iter().flat_map(|caller| &caller.told).filter(|told| told.contains(": Lost")).count()
}

async fn start(launch: Launch) -> (Driver, Client) {
    let driver = Driver::start(&launch.parameter(NO_SWEEP.0, NO_SWEEP.1)).await.unwrap();
    // Configure, too, may meet the weather.
    for _ in 0..20 {
        if let Ok(client) = driver.configured().await {
            return (driver, client);
        }
    }
    panic!("the driver cannot be configured");
}

/// Those of one's own are named by a variable: a run that failed tells its seed.
fn seeds() -> Vec<u64> {
    let own = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    own.map_or(vec![1, 2], |seed| vec![seed])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_true_over_a_bad_network() {
    for seed in seeds() {
        let server = Server::start();
        let network = Network::before(server.address(), Some(seed));
        let driver = start(server.launch().parameter("regionendpoint", &network.endpoint())).await;
        server.begin_mishaps(seed, 0.05);
        let failed = run(seed, &server, driver, async |_| ()).await;
        let cuts = network.cuts();
        assert!(cuts > 20 && failed > 5, "seed {seed}: {cuts} connections were cut and {failed} calls failed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_vanishes_and_comes_back_loses_nothing() {
    let server = Server::start();
    let driver = start(server.launch()).await;
    let vanish = async |is_over: &AtomicBool| {
        // It stays ever longer, so that also what takes its time comes to an end.
        for number in 1.. {
            sleep(Duration::from_millis(150 * number)).await;
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            server.set_quirks(Quirks { fails: Some(Failure::NoBucket), ..Quirks::default() });
            sleep(Duration::from_millis(60)).await;
            server.set_quirks(Quirks::default());
        }
    };
    let failed = run(1, &server, driver, vanish).await;
    assert!(failed > 5, "{failed} calls failed, so nothing was tested");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let server = Server::start();
    let network = Network::before(server.address(), None);
    let (_driver, client) = start(server.launch().parameter("regionendpoint", &network.endpoint())).await;
    client.put("/a", "content").await.unwrap();
    network.hold(true);
    let calls = [
        client.put("/b", "x").map_ok(drop).boxed(),
        client.stat("/a").map_ok(drop).boxed(),
        client.get("/a").map_ok(drop).boxed(),
        client.read("/a", 0, None).map_ok(drop).boxed(),
        client.list("/", "", 0).map_ok(drop).boxed(),
        client.delete("/a", false).boxed(),
    ];
    for reply in timeout(HANG_LIMIT, join_all(calls)).await.unwrap() {
        assert_eq!(reason(reply), Reason::Unavailable);
    }
    network.hold(false);
    assert_eq!(client.get("/a").await.unwrap().1, "content");
}
