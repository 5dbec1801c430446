//! What the holder of a descriptor reads, whatever becomes of the content: clause X4.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join;
use rand::Rng;
use storagedriver_proto::v1alpha1::write_request::Kind;
use tokio::time::timeout;

use crate::block::content;
use crate::case::cases;
use crate::client::{Client, Session};
use crate::expect::{Outcome, ensure};
use crate::launch::Launch;
use crate::packets::{Asker, Handed};
use crate::process::Driver;

cases! { "holders":
    Quick Writing [X4 U1] "Who holds a descriptor reads the same bytes after a Put over the content." => put_over,
    Quick Writing [X4 M1] "Who holds a descriptor reads the same bytes after a Move over the content, and of it." => moved_over,
    Quick Writing [X4 O4] "Who holds a descriptor reads the same bytes after a Commit over the content." => committed_over,
    Quick Writing [X4 D1] "Who holds a descriptor reads the same bytes after the content, or all above it, is deleted." => deleted,
    process Quick Writing [X4] "Who holds a descriptor reads the same bytes after the driver was killed, and by the next one." => killed,
    Quick Writing [X4 W2 O2] "A writer that still has its session open changes nothing of what was committed." => open_writer,
    Quick Writing [X4 W2 O2] "A writer that was fenced changes nothing of what the next one committed." => fenced_writer,
    process Full Shared [X4 W2 O2] "A writer whose process stood still while another committed changes nothing when it goes on." => suspended_writer,
    Full Writing [X4 G4] "While content is replaced, each descriptor is that of one version, whole." => replaced_meanwhile,
}

const SIZE: usize = 400_000;

fn old() -> Bytes {
    content(1, SIZE)
}

/// The descriptor of content that was just put.
async fn held(client: &Client, name: &str) -> Outcome<(Asker, Handed)> {
    let asker = Asker::of(client).await?;
    client.put(&client.at(name), old()).await?;
    let handed = asker.ask(&client.at(name)).await?;
    Ok((asker, handed))
}

async fn put_over(client: Client) -> Outcome {
    let (asker, handed) = held(&client, "a").await?;
    for (number, size) in [(2, SIZE), (3, 10), (4, 2 * SIZE), (5, 0)] {
        client.put(&client.at("a"), content(number, size)).await?;
        handed.holds("what is held after a Put", &old())?;
        asker.ask(&client.at("a")).await?.holds("what was put over it", &content(number, size))?;
    }
    Ok(())
}

async fn moved_over(client: Client) -> Outcome {
    let (asker, handed) = held(&client, "a").await?;
    client.put(&client.at("b"), content(2, SIZE)).await?;
    let other = asker.ask(&client.at("b")).await?;
    client.rename(&client.at("b"), &client.at("a")).await?;
    handed.holds("what is held of the target of a Move", &old())?;
    other.holds("what is held of the source of a Move", &content(2, SIZE))?;
    client.put(&client.at("a"), content(3, SIZE)).await?;
    other.holds("what is held of what was moved", &content(2, SIZE))
}

async fn committed_over(client: Client) -> Outcome {
    let (asker, handed) = held(&client, "a").await?;
    let size = client.aligned(2 * SIZE as u64);
    let _session = client.stage(&client.at("staging"), &content(2, size as usize)).await?;
    client.commit(&client.at("staging"), &client.at("a"), size).await?;
    handed.holds("what is held after a Commit", &old())?;
    asker.ask(&client.at("a")).await?.holds("what was committed over it", &content(2, size as usize))
}

async fn deleted(client: Client) -> Outcome {
    let (_asker, alone) = held(&client, "alone").await?;
    let (_other, below) = held(&client, "tree/p/a").await?;
    client.delete(&client.at("alone"), false).await?;
    client.delete(&client.at("tree"), true).await?;
    // What takes the place of a deleted file on the disk must not be seen through it.
    client.put_all((0..20).map(|number| format!("tree/p/{number}"))).await?;
    client.put(&client.at("alone"), content(2, SIZE)).await?;
    alone.holds("what is held of what was deleted", &old())?;
    below.holds("what is held of what was below", &old())
}

async fn killed(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let (_asker, handed) = held(&client, "a").await?;
    driver.kill().await?;
    handed.holds("what is held when the driver is dead", &old())?;
    driver.replace().await?;
    let client = driver.configured().await?;
    client.put(&client.at("a"), content(2, SIZE)).await?;
    client.delete(client.root(), true).await?;
    handed.holds("what is held when the next driver has replaced it", &old())
}

/// Writes on in a session that is over, as far as the driver reads it, and waits until the driver has ended the stream.
async fn writes_on(mut session: Session) {
    let sending = async {
        for number in 0..16 {
            session.send(Kind::Data(content(90 + number, 60_000))).await;
        }
    };
    // Neither the messages nor the end of the stream need come through: what counts is what became of the content.
    let _ = timeout(Duration::from_secs(2), sending).await;
    let _ = timeout(Duration::from_secs(2), session.flush()).await;
}

async fn open_writer(client: Client) -> Outcome {
    let asker = Asker::of(&client).await?;
    let (staging, target) = (client.at("staging"), client.at("a"));
    let (size, wanted) = (client.aligned(SIZE as u64), content(1, client.aligned(SIZE as u64) as usize));
    let session = client.stage(&staging, &wanted).await?;
    client.commit(&staging, &target, size).await?;
    let handed = asker.ask(&target).await?;
    writes_on(session).await;
    handed.holds("what is held while its writer goes on", &wanted)?;
    let next = client.stage(&staging, &content(2, size as usize)).await?;
    handed.holds("what is held while its session is begun anew", &wanted)?;
    drop(next);
    client.delete(&staging, false).await?;
    handed.holds("what is held when that session is deleted", &wanted)
}

async fn fenced_writer(client: Client) -> Outcome {
    let asker = Asker::of(&client).await?;
    let (staging, target) = (client.at("staging"), client.at("a"));
    let unit = client.aligned(SIZE as u64) as usize;
    let wanted = content(1, 2 * unit);
    let older = client.stage(&staging, &wanted[..unit]).await?;
    let mut newer = client.open(&staging, unit as u64).await?;
    newer.data(&wanted[unit..]).await;
    newer.flush().await?;
    client.commit(&staging, &target, 2 * unit as u64).await?;
    let handed = asker.ask(&target).await?;
    writes_on(older).await;
    writes_on(newer).await;
    handed.holds("what is held while its fenced writers go on", &wanted)
}

/// One process is stopped amid writes, wherever it stands; the other takes the session over, commits, and asks.
async fn suspended_writer(launch: Launch) -> Outcome {
    let mut random = launch.random();
    let first = Driver::start(&launch).await?;
    let one = first.configured().await?;
    let second = first.beside().await?;
    let other = second.configured().await?;
    let asker = Asker::of(&other).await?;
    for round in 0..8 {
        let (staging, target) = (one.at(&format!("{round}/staging")), one.at(&format!("{round}/a")));
        let unit = one.aligned(SIZE as u64);
        let session = one.stage(&staging, &content(1, unit as usize)).await?;
        let writing = tokio::spawn(writes_on(session));
        tokio::time::sleep(Duration::from_micros(random.random_range(0..4000))).await;
        first.suspend().await?;
        let taken = other.open(&staging, unit);
        let mut taken = std::pin::pin!(taken);
        // A write that is under way may keep others waiting until its process goes on.
        let early = timeout(Duration::from_secs(1), &mut taken).await;
        if early.is_err() {
            first.resume()?;
        }
        let mut session = match early {
            Ok(session) => session?,
            Err(_) => taken.await?,
        };
        session.data(&content(1, 2 * unit as usize)[unit as usize..]).await;
        session.flush().await?;
        other.commit(&staging, &target, 2 * unit).await?;
        let handed = asker.ask(&target).await?;
        first.resume()?;
        let wanted = content(1, 2 * unit as usize);
        handed.holds("what is held when the other process goes on", &wanted)?;
        ensure(writing.await.is_ok(), || "the writer broke off".to_owned())?;
        handed.holds("what is held when the other process has written on", &wanted)?;
    }
    Ok(())
}

async fn replaced_meanwhile(client: Client) -> Outcome {
    let asker = Asker::of(&client).await?;
    let path = client.at("a");
    let sized = |number: u64| content(number, 1000 + 7 * number as usize);
    client.put(&path, sized(0)).await?;
    let is_over = AtomicBool::new(false);
    let asking = async {
        let mut seen = BTreeMap::new();
        for _ in 0..400 {
            let handed = asker.ask(&path).await?;
            let number = (handed.info.size - 1000) / 7;
            handed.holds("a version", &sized(number))?;
            let version = seen.entry(handed.info.version.clone()).or_insert(number);
            ensure(*version == number, || format!("contents {version} and {number} have one version"))?;
        }
        is_over.store(true, Ordering::Relaxed);
        Outcome::Ok(())
    };
    let replacing = async {
        for number in (0..50).cycle() {
            client.put(&path, sized(number)).await?;
            if is_over.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    };
    try_join(asking, replacing).await.map(drop)
}
