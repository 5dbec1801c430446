//! What a driver process still holds when its callers have gone.

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::Kind;
use storagedriver_proto::v1alpha1::{MoveRequest, ReadRequest, WalkRequest};
use tokio::time::{Instant, timeout};
use tonic::Request;

use super::handshake::hello_on;
use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, Unkept, broken, ensure, equal, refused};
use crate::launch::Launch;
use crate::process::Driver;
use crate::vitals::Vitals;

cases! { "leaks":
    process Quick Writing [G7] "Cancelled reads free their descriptors within 10 seconds." => cancelled_reads,
    process Full Writing [G7] "Two thousand cancelled calls leave neither descriptors nor threads nor memory." => cancelled_calls,
    process Quick Every [G7] "Connections that come and go leave nothing." => connections,
    process Full Writing [G7 G9] "Streams that nobody reads hold a bounded part of the content in memory." => unread_streams,
    process Full Durable [W7] "A long write that is never flushed holds a bounded number of bytes in memory." => unflushed_write,
    process Full Writing [G7] "A call whose deadline passes in a suspended process has no effect later." => suspended,
}

/// How long a driver may take to free what a call held.
const FREED: Duration = Duration::from_secs(10);

const KIB_OF_MIB: usize = 1024;

/// What a long write may add to a process, in KiB: a runtime that collects garbage keeps tens of MiB of buffers nobody uses.
const HEAP_GROWS: usize = 128 * KIB_OF_MIB;

/// What the process holds, where the system tells.
pub(super) fn vitals(driver: &Driver) -> Outcome<Vitals> {
    driver.vitals().map_err(|problem| Unkept::Skipped(format!("the process cannot be looked at: {problem}")))
}

/// Waits until the process holds no more than `before`, apart from what a pool of threads and an allocator keep.
pub(super) async fn back_to(driver: &Driver, before: Vitals, slack: Vitals) -> Outcome {
    let deadline = Instant::now() + FREED;
    loop {
        let now = vitals(driver)?;
        let within = now.descriptors <= before.descriptors + slack.descriptors
            && now.threads <= before.threads + slack.threads
            && now.resident <= before.resident + slack.resident;
        if within {
            return Ok(());
        }
        ensure(Instant::now() < deadline, || format!("{now:?} {FREED:?} later, and before {before:?}"))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// No descriptor more; threads and memory in KiB may stay.
pub(super) fn slack(threads: usize, resident: usize) -> Vitals {
    Vitals { descriptors: 0, threads, resident }
}

fn read_of(client: &Client, name: &str) -> ReadRequest {
    ReadRequest { path: client.at(name), ..Default::default() }
}

async fn cancelled_reads(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    client.store("a", &content(2, 4_000_000)).await?;
    client.read(&client.at("a"), 0, None).await?;
    let before = vitals(&driver)?;
    for _ in 0..8 {
        let mut streams = try_join_all((0..16).map(|_| client.open_read(read_of(&client, "a")))).await?;
        for stream in &mut streams {
            stream.message().await?;
        }
    }
    back_to(&driver, before, slack(usize::MAX / 2, usize::MAX / 2)).await
}

/// Begins a read, a walk, a list and a write, and goes away in the middle.
async fn cancel_some(client: &Client, number: usize) {
    // A call that ends before it is cancelled is none of this case's.
    let _ = timeout(Duration::from_millis(number as u64 % 5), async {
        match number % 4 {
            0 => drop(client.open_read(read_of(client, "a")).await?.message().await),
            1 => drop(client.raw_streams().walk(WalkRequest { path: client.at("tree"), ..Default::default() }).await?),
            2 => drop(client.list(&client.at("tree"), "", 0).await?),
            _ => {
                let session = client.open(&client.at(&format!("staging-{}", number % 16)), 0).await?;
                session.data(&[7; 100_000]).await;
            }
        }
        Ok::<_, tonic::Status>(())
    })
    .await;
}

async fn cancel_rounds(client: &Client, rounds: usize) {
    for round in 0..rounds {
        join_all((0..50).map(|number| cancel_some(client, round * 50 + number))).await;
    }
}

async fn cancelled_calls(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    client.store("a", &content(1, 4_000_000)).await?;
    for number in 0..200 {
        client.put(&client.at(&format!("tree/{}/{number}", number % 9)), "content").await?;
    }
    // First half as many, so that pools and heaps are as large as they get, and each session has been there once.
    cancel_rounds(&client, 20).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = vitals(&driver)?;
    cancel_rounds(&client, 40).await;
    back_to(&driver, before, slack(100, 96 * KIB_OF_MIB)).await?;
    client.delete(client.root(), true).await?;
    Ok(())
}

async fn connections(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    hello_on(client.channel()).await?;
    join_all((0..8).map(|_| driver.connect())).await;
    back_to_quiet(&driver).await?;
    let before = vitals(&driver)?;
    for _ in 0..200 {
        hello_on(driver.connect().await?).await?;
    }
    back_to(&driver, before, slack(50, 32 * KIB_OF_MIB)).await
}

/// Waits until the descriptors of connections that have gone are closed.
async fn back_to_quiet(driver: &Driver) -> Outcome {
    let mut last = vitals(driver)?.descriptors;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = vitals(driver)?.descriptors;
        if now >= last {
            return Ok(());
        }
        last = now;
    }
    Ok(())
}

async fn unread_streams(launch: Launch) -> Outcome {
    const STREAMS: usize = 48;
    const SIZE: usize = 24 << 20;
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    client.store("a", &content(3, SIZE)).await?;
    client.read(&client.at("a"), 0, None).await?;
    let before = vitals(&driver)?;
    let mut unread = try_join_all((0..STREAMS).map(|_| client.open_read(read_of(&client, "a")))).await?;
    for stream in &mut unread {
        stream.message().await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let most = before.resident + STREAMS * 3 * KIB_OF_MIB;
    let now = vitals(&driver)?;
    ensure(now.resident <= most, || format!("{STREAMS} streams that nobody reads hold {now:?}, before {before:?}"))?;
    drop(unread);
    // A heap that has grown may stay, for the next.
    back_to(&driver, before, slack(usize::MAX / 2, usize::MAX / 2)).await
}

async fn unflushed_write(launch: Launch) -> Outcome {
    const SIZE: usize = 192 << 20;
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let granularity = usize::try_from(client.aligned(1)).unwrap_or(usize::MAX);
    let piece = content(4, 1 << 20);
    let before = vitals(&driver)?;
    let session = client.open(&client.at("staging"), 0).await?;
    let mut most = before.resident;
    for _ in 0..SIZE / piece.len() {
        let sent = timeout(Duration::from_secs(60), session.send(Kind::Data(piece.clone()))).await;
        if sent.is_err() {
            return broken("a write makes no progress in 60 s while its answers wait");
        }
        most = most.max(vitals(&driver)?.resident);
    }
    let allowed = HEAP_GROWS + 3 * granularity / 1024;
    let grown = most.saturating_sub(before.resident);
    ensure(grown <= allowed, || {
        format!(
            "memory grew by {grown} KiB while {SIZE} bytes were written and never flushed; {allowed} KiB are allowed"
        )
    })?;
    client.delete(&client.at("staging"), false).await?;
    Ok(())
}

async fn suspended(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    // What was given up may still be under way for a moment: a driver that is at fault lets it happen again and again.
    match moved_once(&driver, &client, "1").await {
        Err(_) => moved_once(&driver, &client, "2").await,
        kept => kept,
    }
}

async fn moved_once(driver: &Driver, client: &Client, round: &str) -> Outcome {
    let (a, b) = (client.at(&format!("a{round}")), client.at(&format!("b{round}")));
    client.put(&a, "first").await?;
    driver.suspend().await?;
    let mut request = Request::new(MoveRequest { source: a.clone(), target: b.clone() });
    request.set_timeout(Duration::from_millis(200));
    let mut raw = client.raw();
    let gone = timeout(Duration::from_secs(5), raw.r#move(request)).await;
    driver.resume()?;
    let Ok(Err(_)) = gone else { return broken(format!("a call to a suspended process came to {gone:?}")) };
    // The caller repeats; whether the first attempt happened is not said.
    let repeated = client.rename(&a, &b).await;
    if let Err(status) = repeated {
        refused("the repeated Move", Err::<(), _>(status), Reason::NotFound)?;
    }
    equal("what was moved", client.get(&b).await?.1, "first".into())?;
    client.put(&a, "second").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    equal("what was put after it", client.get(&a).await?.1, "second".into())?;
    equal("what stays moved", client.get(&b).await?.1, "first".into())
}
