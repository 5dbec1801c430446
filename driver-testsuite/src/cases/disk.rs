//! What a store in a folder does when its disk is full, refuses, or is not there. Much of it needs the rights of root.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{SERVICE, StorageError};
use tokio::time::Instant;
use tonic::Status;
use tonic_health::pb::health_check_response::ServingStatus;

use super::health::{becomes, serving};
use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, not_offered, refused, refused_as, same_bytes, skipped};
use crate::launch::Launch;
use crate::mount::{Frozen, Mount};
use crate::process::{Driver, StartError};

cases! { "disk":
    process should Full Writing [E1 G2 U1 G3] "On a full disk Put and Write are NO_SPACE, and what is there stays." => full,
    process should Full Writing [W3 G5 O1] "A write that the disk cannot take is NO_SPACE, and continues when there is space." => full_amid_a_write,
    process should Full Durable [E2 G2] "A disk that takes no changes is not NOT_FOUND, and can be read." => read_only,
    process should Full Durable [E2 G2] "A back end that refuses changes is not NOT_FOUND, and what is OK nevertheless has happened and stays." => refusing,
    process Full Durable [E2 P1 P2] "A store that is away is not NOT_FOUND, and is SERVING only when it answers." => away,
}

/// The folder of the driver's store.
fn folder(driver: &Driver) -> Outcome<PathBuf> {
    driver.folder().map_or_else(|| not_offered("the store is in no folder, as far as its parameters tell"), Ok)
}

/// A small disk below the store.
fn small_disk(driver: &Driver, size: u64) -> Outcome<Mount> {
    match Mount::over(&folder(driver)?, size) {
        Ok(mount) => Ok(mount),
        Err(problem) => skipped(format!("a file system cannot be mounted, which needs root: {problem}")),
    }
}

const DISK: u64 = 12 << 20;

/// Puts `content` at numbered paths until it is refused; how many are there.
async fn fill(client: &Client, content: &Bytes) -> Outcome<usize> {
    for number in 0..DISK as usize / content.len() + 1 {
        match client.put(&client.at(&format!("{number}")), content.clone()).await {
            Ok(_) => {}
            Err(status) => {
                refused("a Put on a full disk", Err::<(), _>(status), Reason::NoSpace)?;
                return Ok(number);
            }
        }
    }
    broken("the disk holds more than its size")
}

async fn full(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let _mount = small_disk(&driver, DISK)?;
    let client = driver.configured().await?;
    let wanted = content(1, 900_000);
    let count = fill(&client, &wanted).await?;
    ensure(count > 1, || "the disk is full at once".to_owned())?;
    let (first, last) = (client.at("0"), client.at(&format!("{count}")));
    refused("what a refused Put left", client.stat(&last).await, Reason::NotFound)?;
    refused("a Put over old content", client.put(&first, content(2, 1 << 20)).await, Reason::NoSpace)?;
    for number in 0..count {
        same_bytes("content on a full disk", &client.get(&client.at(&format!("{number}"))).await?.1, &wanted)?;
    }
    client.delete(&first, false).await?;
    client.delete(&client.at("1"), false).await?;
    client.put(&last, wanted.clone()).await?;
    same_bytes("content where space was made", &client.get(&last).await?.1, &wanted)
}

async fn full_amid_a_write(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let _mount = small_disk(&driver, DISK)?;
    let client = driver.configured().await?;
    if client.aligned(1) > 1 << 20 {
        return not_offered("the granularity is too large for a small disk");
    }
    let (staging, target) = (client.at("staging"), client.at("target"));
    client.put(&client.at("ballast"), content(3, 900_000)).await?;
    client.store("more", &content(4, 6 << 20)).await?;
    let wanted = content(5, 10 << 20);
    let mut session = client.open(&staging, 0).await?;
    session.data(&wanted).await;
    refused("a write that the disk cannot take", session.flush().await, Reason::NoSpace)?;
    same_bytes("other content", &client.get(&client.at("ballast")).await?.1, &content(3, 900_000))?;
    client.delete(&client.at("more"), false).await?;
    let error = refused("open too far", client.open(&staging, client.aligned(1 << 40)).await, Reason::OffsetInvalid)?;
    let mut session = client.open(&staging, error.persisted).await?;
    session.data(&wanted[error.persisted as usize..]).await;
    session.flush().await?;
    client.commit(&staging, &target, wanted.len() as u64).await?;
    same_bytes("the target", &client.read(&target, 0, None).await?.1, &wanted)
}

/// What a back end may be told as that takes no changes.
const REFUSING: [Reason; 4] = [Reason::ReadOnly, Reason::AccessDenied, Reason::Unavailable, Reason::Internal];

/// Every changing call is refused with one of them; nothing is NOT_FOUND or OK.
async fn changes_are_refused(client: &Client) -> Outcome {
    let (a, b) = (client.at("a"), client.at("b"));
    let refusals: [(&str, Result<(), Status>); 5] = [
        ("Put", client.put(&a, "new").await.map(drop)),
        ("Put of new content", client.put(&b, "new").await.map(drop)),
        ("Move", client.rename(&a, &b).await.map(drop)),
        ("Delete", client.delete(&a, false).await),
        ("Write", async { client.open(&client.at("staging"), 0).await?.flush().await }.await.map(drop)),
    ];
    for (call, result) in refusals {
        refused_as(&format!("{call} where nothing can be changed"), result, &REFUSING)?;
    }
    equal("the content", client.get(&a).await?.1, "old".into())?;
    refused("nothing", client.stat(&b).await, Reason::NotFound).map(drop)
}

async fn read_only(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let mount = small_disk(&driver, DISK)?;
    let client = driver.configured().await?;
    client.put(&client.at("a"), "old").await?;
    driver.kill().await?;
    mount.set_read_only(true)?;
    driver.replace().await?;
    match driver.configured().await {
        Ok(client) => changes_are_refused(&client).await?,
        Err(StartError::Configure(status)) => {
            let may = [&REFUSING[..], &[Reason::ConfigInvalid]].concat();
            drop(refused_as("Configure on a disk that takes no changes", Err::<(), _>(*status), &may)?);
        }
        Err(problem) => return Err(problem.into()),
    }
    driver.kill().await?;
    mount.set_read_only(false)?;
    driver.replace().await?;
    let client = driver.configured().await?;
    equal("the content", client.get(&client.at("a")).await?.1, "old".into())?;
    client.put(&client.at("a"), "new").await?;
    Ok(())
}

async fn refusing(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    client.put(&client.at("a"), "old").await?;
    let frozen = match Frozen::below(&folder(&driver)?) {
        Ok(frozen) => frozen,
        Err(problem) => return skipped(format!("folders cannot be frozen, which needs root: {problem}")),
    };
    let there = changes_are_told_truly(&client).await?;
    drop(frozen);
    driver.kill().await?;
    driver.replace().await?;
    let client = driver.configured().await?;
    for (name, wanted) in ["a", "b", "written"].into_iter().zip(there) {
        holds(&client, name, wanted).await?;
    }
    client.put(&client.at("a"), "later").await?;
    holds(&client, "a", Some("later")).await
}

/// A driver may store through files that it has open already. What it says is OK is there at once, and what it refuses has
/// not happened. What is then at `a`, at `b`, and where a session is committed to.
async fn changes_are_told_truly(client: &Client) -> Outcome<[Option<&'static str>; 3]> {
    let (a, b) = (client.at("a"), client.at("b"));
    let mut there = [Some("old"), None];
    for call in ["Put", "Put of new content", "Move", "Delete"] {
        let [at_a, at_b] = there;
        let (result, then) = match call {
            "Put" => (client.put(&a, "new").await.map(drop), [Some("new"), at_b]),
            "Put of new content" => (client.put(&b, "more").await.map(drop), [at_a, Some("more")]),
            "Move" => (client.rename(&b, &a).await.map(drop), [at_b, None]),
            _ => (client.delete(&a, false).await, [None, at_b]),
        };
        match result {
            Ok(()) => there = then,
            // There is nothing to move where the Put before it was refused.
            Err(status) if call == "Move" && at_b.is_none() => {
                drop(refused_as(call, Err::<(), _>(status), &[&REFUSING[..], &[Reason::NotFound]].concat())?);
            }
            Err(status) => drop(refused_as(call, Err::<(), _>(status), &REFUSING)?),
        }
        holds(client, "a", there[0]).await?;
        holds(client, "b", there[1]).await?;
    }
    let written = match client.store("written", b"whole").await {
        Ok(_) => Some("whole"),
        Err(status) => refused_as("Write", Err::<(), _>(status), &REFUSING).map(|_| None)?,
    };
    holds(client, "written", written).await?;
    Ok([there[0], there[1], written])
}

/// `name` has this content, or none.
async fn holds(client: &Client, name: &str, wanted: Option<&'static str>) -> Outcome {
    let got = client.get(&client.at(name)).await;
    match wanted {
        Some(wanted) => equal(&format!("what is at {name}"), got?.1, wanted.into()),
        None => refused(&format!("Get of {name}"), got, Reason::NotFound).map(drop),
    }
}

async fn away(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let folder = folder(&driver)?;
    client.put(&client.at("a"), "content").await?;
    let elsewhere = folder.with_extension("away");
    std::fs::rename(&folder, &elsewhere)?;
    let found = is_honest(&client).await;
    std::fs::rename(&elsewhere, &folder)?;
    found?;
    becomes(&client.channel(), ServingStatus::Serving, Duration::from_secs(15)).await?;
    equal("the content", client.get(&client.at("a")).await?.1, "content".into())
}

/// The store is not told as SERVING for long while it is not; meanwhile nothing is NOT_FOUND.
async fn is_honest(client: &Client) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let looked = client.get(&client.at("a")).await;
        let error: Option<StorageError> = looked.as_ref().err().and_then(from_status);
        let lost = error.is_some_and(|error| error.reason() == Reason::NotFound);
        ensure(!lost, || "content of a store that is away is NOT_FOUND".to_owned())?;
        equal("the process", serving(client.channel(), "").await?, ServingStatus::Serving)?;
        let health = serving(client.channel(), SERVICE).await?;
        if looked.is_ok() || health != ServingStatus::Serving {
            return Ok(());
        }
        ensure(Instant::now() < deadline, || format!("the store is {health:?}, and Get answers {looked:?}"))?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
