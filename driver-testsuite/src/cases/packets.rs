//! The descriptor socket as a socket: order, connections, packets that are none, restarts and the end. Clauses X2, X7, X8.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use futures::future::try_join_all;
use storagedriver_proto::limits::PACKET_MAX;
use storagedriver_proto::v1alpha1::ReadRequest;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tokio::time::{Instant, timeout};

use super::leaks::{back_to, slack, vitals};
use super::life::exits_with_0;
use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, not_offered, refused};
use crate::launch::{Launch, Way};
use crate::packets::{Asker, Handed, request};
use crate::process::Driver;
use crate::raw::{field, unknown_fields};

cases! { "packets":
    Quick Writing [X2] "A connection is used again and again, and its requests are answered in their order." => in_order,
    process Full Writing [X2 G9] "Connections come in any number: 300 at once are all answered." => many_connections,
    Quick Writing [X2 C2] "A request may have 4096 bytes, and fields that nobody knows yet." => longest,
    Quick Writing [X7] "A packet that is empty, too long or no request ends its connection, and harms no other." => malformed,
    process Quick Writing [X7] "Descriptors that come with a request are closed, and it is answered." => with_descriptors,
    process Quick Writing [X3 X8 G7] "Hundreds of requests, and connections that end before their answers, leave no descriptor." => leave_nothing,
    process Quick Writing [X8] "Requests made while a driver restarts wait in the inherited socket." => wait_for_the_next,
    process Quick Writing [X8 L6] "On SIGTERM a driver answers what it has received, and ends the connections." => answered_on_sigterm,
    process Full Writing [X8 L6] "After SIGTERM a driver accepts no more connections." => refused_after_sigterm,
}

/// The contents at `a/0`, `a/1` and so on, each of another size.
async fn fill(client: &Client, count: usize) -> Outcome<Vec<String>> {
    let paths: Vec<String> = (0..count).map(|number| client.at(&format!("a/{number}"))).collect();
    try_join_all(paths.iter().enumerate().map(|(number, path)| client.put(path, of(number)))).await?;
    Ok(paths)
}

fn of(number: usize) -> bytes::Bytes {
    content(number as u64, 100 + number)
}

async fn in_order(client: Client) -> Outcome {
    let asker = Asker::of(&client).await?;
    let paths = fill(&client, 50).await?;
    for _ in 0..4 {
        for path in &paths {
            asker.request(path, "").await?;
        }
        asker.request(&client.at("nothing"), "").await?;
        for number in 0..paths.len() {
            asker.handed().await?.holds(&format!("the answer to request {number}"), &of(number))?;
        }
        refused("the last request", asker.outcome().await?, Reason::NotFound)?;
    }
    Ok(())
}

/// A configured driver that hands descriptors over, with a caller.
async fn start(launch: &Launch) -> Outcome<(Driver, Client)> {
    let driver = Driver::start(launch).await?;
    let client = driver.configured().await?;
    if client.capabilities().descriptors { Ok((driver, client)) } else { not_offered("descriptors") }
}

async fn many_connections(launch: Launch) -> Outcome {
    let (_driver, client) = start(&launch).await?;
    let paths = fill(&client, 10).await?;
    let mut askers = Vec::new();
    for _ in 0..300 {
        askers.push(Asker::of(&client).await?);
    }
    for _ in 0..2 {
        for (number, asker) in askers.iter().enumerate().rev() {
            asker.request(&paths[number % 10], "").await?;
        }
        for (number, asker) in askers.iter().enumerate() {
            asker.handed().await?.holds("content on one of 300 connections", &of(number % 10))?;
        }
    }
    Ok(())
}

async fn longest(client: Client) -> Outcome {
    let asker = Asker::of(&client).await?;
    let path = client.at("a");
    client.put(&path, "content").await?;
    for packet in [[request(&path, ""), unknown_fields()].concat(), filled(&path, PACKET_MAX)] {
        asker.send(&packet, &[]).await?;
        asker.handed().await?.holds(&format!("the answer to a packet of {} bytes", packet.len()), b"content")?;
    }
    Ok(())
}

/// A request for `path` of this many bytes, most of them in a field that nobody knows.
fn filled(path: &str, length: usize) -> Vec<u8> {
    let known = request(path, "");
    // Two bytes say which field it is, the 201st, and two say how long.
    let rest = field(0, &vec![b'x'; length - known.len() - 4]);
    [&known, &[0xca, 0x0c][..], &rest[1..]].concat()
}

async fn malformed(client: Client) -> Outcome {
    let other = Asker::of(&client).await?;
    let path = client.at("a");
    client.put(&path, "content").await?;
    let rows: [(&str, &[u8]); 5] = [
        ("an empty packet", b""),
        ("a packet that is no message", &[0xff; 100]),
        ("a request that is cut off", &request(&path, "")[..5]),
        ("a packet of 4097 bytes", &filled(&path, PACKET_MAX + 1)),
        ("a packet of 8 KiB", &filled(&path, 2 * PACKET_MAX)),
    ];
    for (what, packet) in rows {
        let asker = Asker::of(&client).await?;
        asker.ask(&path).await?.holds("content", b"content")?;
        asker.send(packet, &[]).await?;
        asker.ends(what).await?;
        other.ask(&path).await?.holds(&format!("content on another connection, after {what}"), b"content")?;
    }
    Ok(())
}

async fn with_descriptors(launch: Launch) -> Outcome {
    let (driver, client) = start(&launch).await?;
    let asker = Asker::of(&client).await?;
    let path = client.at("a");
    client.put(&path, "content").await?;
    asker.ask(&path).await?.holds("content", b"content")?;
    let before = vitals(&driver)?;
    let unwanted = File::open("/dev/null")?;
    for count in (1..=16).cycle().take(64) {
        asker.send(&request(&path, ""), &vec![unwanted.as_fd(); count]).await?;
        asker.handed().await?.holds("the answer to a request with descriptors", b"content")?;
    }
    let ended = Asker::of(&client).await?;
    ended.send(&[0xff; 9], &[unwanted.as_fd(); 16]).await?;
    ended.ends("a packet that is no message").await?;
    back_to(&driver, before, slack(usize::MAX / 2, usize::MAX / 2)).await
}

async fn leave_nothing(launch: Launch) -> Outcome {
    let (driver, client) = start(&launch).await?;
    let paths = fill(&client, 10).await?;
    let asker = Asker::of(&client).await?;
    asker.ask(&paths[0]).await?;
    let before = vitals(&driver)?;
    for round in 0..50 {
        for path in &paths {
            asker.request(path, "").await?;
        }
        for _ in &paths {
            asker.handed().await?;
        }
        asker.refused(&client.at("nothing"), "", Reason::NotFound).await?;
        let ending = Asker::of(&client).await?;
        for path in &paths[..round % 10] {
            // Whether any of them is answered is not said.
            ending.request(path, "").await?;
        }
    }
    back_to(&driver, before, slack(usize::MAX / 2, usize::MAX / 2)).await
}

async fn wait_for_the_next(launch: Launch) -> Outcome {
    if launch.way() == Way::Path {
        return not_offered("the driver binds a path, as its operator says");
    }
    let (mut driver, client) = start(&launch).await?;
    let path = client.at("a");
    driver.kill().await?;
    let mut askers = Vec::new();
    for _ in 0..8 {
        let asker = Asker::connect(&driver.descriptor_socket(), launch.journal()).await?;
        asker.request(&path, "").await?;
        askers.push(asker);
    }
    for asker in &askers {
        let early = timeout(Duration::from_millis(20), asker.answer()).await;
        ensure(early.is_err(), || format!("requests do not wait: {early:?}"))?;
    }
    driver.replace().await?;
    for asker in &askers {
        refused("a request that waited", asker.outcome().await?, Reason::NotConfigured)?;
    }
    let client = driver.configured().await?;
    client.put(&path, "content").await?;
    for asker in &askers {
        asker.ask(&path).await?.holds("content, on a connection that waited", b"content")?;
    }
    Ok(())
}

async fn answered_on_sigterm(launch: Launch) -> Outcome {
    let (mut driver, client) = start(&launch).await?;
    let paths = fill(&client, 30).await?;
    let (asker, idle) = (Asker::of(&client).await?, Asker::of(&client).await?);
    for asker in [&asker, &idle] {
        asker.ask(&paths[0]).await?;
    }
    // While the process stands still, everything arrives before the signal does.
    driver.suspend().await?;
    for path in &paths {
        asker.request(path, "").await?;
    }
    driver.terminate()?;
    driver.resume()?;
    for number in 0..paths.len() {
        let handed: Handed = asker.handed().await?;
        handed.holds("the answer to a request that was received before SIGTERM", &of(number))?;
    }
    asker.ends("the end of the process").await?;
    idle.ends("the end of the process").await?;
    exits_with_0(&mut driver).await
}

async fn refused_after_sigterm(launch: Launch) -> Outcome {
    let (mut driver, client) = start(&launch).await?;
    client.store("large", &content(1, 16 << 20)).await?;
    let path = client.at("large");
    let asker = Asker::of(&client).await?;
    asker.ask(&path).await?;
    // A call in flight keeps the process for a while.
    let mut unread = client.open_read(ReadRequest { path: path.clone(), ..Default::default() }).await?;
    unread.message().await?;
    driver.terminate()?;
    asker.ends("the connection of a driver that was told to stop").await?;
    let deadline = Instant::now() + Duration::from_secs(3);
    loop {
        let asking = async { Asker::connect(&driver.descriptor_socket(), launch.journal()).await?.ask(&path).await };
        match timeout(Duration::from_millis(500), asking).await {
            Ok(Ok(_)) if Instant::now() > deadline => return broken("a connection is accepted 3 s after SIGTERM"),
            Ok(Ok(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            // It is refused, or waits for the next process.
            _ => break,
        }
    }
    drop(unread);
    exits_with_0(&mut driver).await
}
