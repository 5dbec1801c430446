//! Local descriptors, section 8 of the contract: what is declared, asked for and answered.

use std::time::Duration;

use futures::future::join_all;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tokio::time::timeout;

use super::handshake::hello;
use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, ensure, equal, not_offered, refused};
use crate::launch::{Launch, Way};
use crate::packets::Asker;
use crate::process::Driver;

cases! { "descriptors":
    Quick Descriptors [C1 X1] "A store of this profile is declared to have `descriptors`, and has them." => are_had,
    process Quick Every [X1] "A driver that is given no descriptor socket does not declare `descriptors`." => need_a_socket,
    process Quick Writing [C1 X1] "A driver that does not declare `descriptors` has no such socket, ignores it or answers UNSUPPORTED." => undeclared,
    process Quick Every [K1 X1 X5] "The descriptor socket is served from the start, and before Configure answers NOT_CONFIGURED." => before_configure,
    Quick Writing [X3 X4] "Content of every size comes as one regular file of just its bytes, opened for reading alone." => every_size,
    Quick Writing [X4 X5 M1] "Content that was put, committed or moved has a descriptor, and `info` is what Stat tells." => however_it_came,
    Quick Writing [X3 X5] "A prefix, nothing and what was deleted are NOT_FOUND, without a descriptor." => nothing_refused,
    Quick Writing [X5] "A version other than the stored one is VERSION_MISMATCH, and the stored one is had." => if_version,
    Quick Writing [X5 N2] "A path that is none is PATH_INVALID." => invalid_refused,
    Quick Writing [X6] "At a staging path a driver answers NOT_FOUND, or hands over what is staged." => staging_path,
    Quick Writing [X3 G9] "Two at once of one content have a descriptor each." => two_at_once,
}

async fn are_had(client: Client) -> Outcome {
    equal("descriptors", client.capabilities().descriptors, true)?;
    let asker = Asker::of(&client).await?;
    let (path, wanted) = (client.at("a"), content(1, 1000));
    client.put(&path, wanted.clone()).await?;
    asker.ask(&path).await?.holds("content", &wanted)
}

async fn need_a_socket(launch: Launch) -> Outcome {
    if launch.way() == Way::Path {
        return not_offered("the driver binds a path, and the descriptor socket beside it");
    }
    let driver = Driver::start_without_descriptors(&launch).await?;
    let client = driver.configured().await?;
    equal("descriptors of a driver that has no socket for them", client.capabilities().descriptors, false)
}

async fn undeclared(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    if client.capabilities().descriptors {
        return not_offered("a store without descriptors");
    }
    let path = client.at("a");
    client.put(&path, "content").await?;
    // In an inherited socket that is ignored, a request waits for ever.
    let Ok(asker) = Asker::connect(&driver.descriptor_socket(), launch.journal()).await else { return Ok(()) };
    match timeout(Duration::from_secs(1), asker.refused(&path, "", Reason::Unsupported)).await {
        Ok(refused) => refused,
        Err(_ignored) => Ok(()),
    }
}

async fn before_configure(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    if !client.capabilities().descriptors {
        return not_offered("descriptors");
    }
    driver.replace().await?;
    hello(&driver).await?;
    let asker = Asker::connect(&driver.descriptor_socket(), launch.journal()).await?;
    for path in [client.at("a"), "no path".to_owned()] {
        asker.refused(&path, "", Reason::NotConfigured).await?;
    }
    let client = driver.configured().await?;
    client.put(&client.at("a"), "content").await?;
    asker.ask(&client.at("a")).await?.holds("content, on the same connection", b"content")
}

async fn every_size(client: Client) -> Outcome {
    let asker = Asker::of(&client).await?;
    for size in [0, 1, 4095, 4096, 100_000, 1 << 20] {
        let (path, wanted) = (client.at(&format!("put-{size}")), content(size as u64, size));
        client.put(&path, wanted.clone()).await?;
        asker.ask(&path).await?.holds(&format!("content of {size} bytes"), &wanted)?;
    }
    let wanted = content(1, (5 << 20) + 3);
    client.store("large", &wanted).await?;
    asker.ask(&client.at("large")).await?.holds("content of 5 MiB", &wanted)
}

async fn however_it_came(client: Client) -> Outcome {
    let asker = Asker::of(&client).await?;
    client.put(&client.at("put"), content(1, 900)).await?;
    client.store("committed", &content(2, 2_000_000)).await?;
    client.put(&client.at("source"), content(3, 70_000)).await?;
    client.rename(&client.at("source"), &client.at("deep/down/moved")).await?;
    for (name, wanted) in
        [("put", content(1, 900)), ("committed", content(2, 2_000_000)), ("deep/down/moved", content(3, 70_000))]
    {
        let handed = asker.ask(&client.at(name)).await?;
        equal(&format!("info of {name}"), &handed.info, &client.stat(&client.at(name)).await?)?;
        handed.holds(name, &wanted)?;
    }
    asker.refused(&client.at("source"), "", Reason::NotFound).await
}

async fn nothing_refused(client: Client) -> Outcome {
    let asker = Asker::of(&client).await?;
    client.put_all(["p/x", "p/y/z", "gone", "tree/a", "tree/b"].map(str::to_owned)).await?;
    client.delete(&client.at("gone"), false).await?;
    client.delete(&client.at("tree"), true).await?;
    for name in ["p", "p/y", "nothing", "p/x/below", "gone", "tree", "tree/a"] {
        asker.refused(&client.at(name), "", Reason::NotFound).await?;
    }
    asker.ask(&client.at("p/x")).await?.holds("what is below the prefix", b"p/x")
}

async fn if_version(client: Client) -> Outcome {
    let asker = Asker::of(&client).await?;
    let path = client.at("a");
    let old = client.put(&path, "one").await?;
    asker.request(&path, &old.version).await?;
    asker.handed().await?.holds("the stored version", b"one")?;
    let new = client.put(&path, "two").await?;
    asker.refused(&path, &old.version, Reason::VersionMismatch).await?;
    asker.refused(&path, "no version", Reason::VersionMismatch).await?;
    asker.request(&path, &new.version).await?;
    asker.handed().await?.holds("the new version", b"two")?;
    asker.refused(&client.at("nothing"), &new.version, Reason::NotFound).await
}

async fn invalid_refused(client: Client) -> Outcome {
    let asker = Asker::of(&client).await?;
    client.put(&client.at("a"), "content").await?;
    let root = client.root();
    let long = [root, &"/abcdefgh".repeat(120)].concat();
    let component = format!("{root}/{}", "c".repeat(256));
    let rows = ["/", "a", &format!("{root}/a/"), &format!("{root}//a"), &format!("{root}/./a"), &component, &long];
    for path in rows {
        asker.request(path, "").await?;
        refused(&format!("a descriptor of {path:?}"), asker.outcome().await?, Reason::PathInvalid)?;
    }
    // A request that names no path has to name something else: one without any field is an empty packet.
    asker.refused("", "a version", Reason::PathInvalid).await?;
    asker.refused(&format!("{root}/b/../a"), "", Reason::PathInvalid).await?;
    asker.ask(&client.at("a")).await?.holds("content", b"content")
}

async fn staging_path(client: Client) -> Outcome {
    let asker = Asker::of(&client).await?;
    let (staging, size) = (client.at("staging"), client.aligned(50_000));
    let _session = client.stage(&staging, &content(1, size as usize)).await?;
    asker.request(&staging, "").await?;
    match asker.outcome().await? {
        Ok(handed) => ensure(handed.info.size <= size, || format!("what is staged is {:?}", handed.info))?,
        refusal => drop(refused("a descriptor at a staging path", refusal, Reason::NotFound)?),
    }
    client.commit(&staging, &client.at("a"), size).await?;
    asker.refused(&staging, "", Reason::NotFound).await
}

async fn two_at_once(client: Client) -> Outcome {
    let (path, wanted) = (client.at("a"), content(1, 300_000));
    client.put(&path, wanted.clone()).await?;
    let askers = [Asker::of(&client).await?, Asker::of(&client).await?];
    for handed in join_all(askers.iter().map(|asker| asker.ask(&path))).await {
        handed?.holds("what each of two has", &wanted)?;
    }
    Ok(())
}
