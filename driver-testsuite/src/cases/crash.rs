//! A driver that is killed in the middle of what it does.

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tokio::time::Instant;

use crate::block::{content, difference};
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, refused, same_bytes};
use crate::launch::Launch;
use crate::ledger::Ledger;
use crate::process::Driver;

cases! { "crash":
    process Quick Durable [G3 U1 O2] "What was acknowledged survives the death of the process." => keeps_what_it_acknowledged,
    process Full Durable [G3 G2 U1 O2 M1 N6] "A stream of calls cut by kills leaves all that was acknowledged, and nothing half." => stream_of_calls,
    process Long Durable [G3 G2 U1 O2 M1 N6] "Three hundred kills in a stream of calls lose and tear nothing." => long_stream_of_calls,
    process Full Durable [G2 U1] "A Put cut by a kill leaves the old or the new content." => amid_puts,
    process Full Durable [G2 M1] "A Move cut by a kill leaves the content at one path at least, whole, and can be repeated." => amid_moves,
    process Full Durable [G2 D1] "A recursive Delete cut by a kill takes each content wholly or not, and converges." => amid_deletes,
    process Full Durable [G2 O2 O3 O4] "A Commit cut by a kill leaves the target as before or whole, and can be repeated." => amid_commits,
}

async fn keeps_what_it_acknowledged(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let paths: Vec<String> = (0..50).map(|number| client.at(&format!("{number}/data"))).collect();
    try_join_all(paths.iter().map(|path| client.put(path, path.clone()))).await?;
    client.store("large", &content(3, 3_000_000)).await?;
    client.rename(&paths[0], &client.at("moved")).await?;
    client.delete(&paths[1], false).await?;
    driver.replace().await?;
    let client = driver.configured().await?;
    for path in &paths[2..] {
        equal("content after a kill", client.get(path).await?.1, path.clone().into())?;
    }
    equal("moved content", client.get(&client.at("moved")).await?.1, paths[0].clone().into())?;
    refused("the source of a move", client.stat(&paths[0]).await, Reason::NotFound)?;
    refused("deleted content", client.stat(&paths[1]).await, Reason::NotFound)?;
    same_bytes("committed content", &client.read(&client.at("large"), 0, None).await?.1, &content(3, 3_000_000))
}

async fn stream_of_calls(launch: Launch) -> Outcome {
    kill_amid_calls(launch, 8).await
}

async fn long_stream_of_calls(launch: Launch) -> Outcome {
    kill_amid_calls(launch, 300).await
}

async fn kill_amid_calls(launch: Launch, kills: usize) -> Outcome {
    const CALLERS: u64 = 8;
    let mut random = launch.random();
    let mut driver = Driver::start(&launch).await?;
    let mut client = driver.configured().await?;
    let mut ledgers: Vec<Ledger> =
        (1..=CALLERS).map(|name| Ledger::new(&client, name, StdRng::from_rng(&mut random))).collect();
    for _ in 0..kills {
        let after = Duration::from_micros(random.random_range(1_000..250_000));
        let working = try_join_all(ledgers.iter_mut().map(|ledger| ledger.work(&client)));
        if let Some(Err(unkept)) = driver.kill_during(after, working).await? {
            return Err(unkept);
        }
        driver.replace().await?;
        client = driver.configured().await?;
        try_join_all(ledgers.iter_mut().map(|ledger| ledger.verify(&client))).await?;
    }
    Ok(())
}

/// A driver that is killed again and again, at instants within the time that the work takes.
struct Doomed {
    driver: Driver,
    client: Client,
    random: StdRng,
    /// How long the work takes when nothing happens.
    usual: Duration,
}

impl Doomed {
    async fn start(launch: &Launch) -> Outcome<Self> {
        let driver = Driver::start(launch).await?;
        let client = driver.configured().await?;
        Ok(Doomed { driver, client, random: launch.random(), usual: Duration::ZERO })
    }

    /// Does `work`, kills the driver meanwhile, and starts another. The first time the work is left alone, and measured.
    async fn amid<T>(&mut self, work: impl Future<Output = T>) -> Outcome {
        if self.usual.is_zero() {
            let began = Instant::now();
            work.await;
            self.usual = began.elapsed();
        } else {
            let after = self.usual.mul_f64(self.random.random_range(0.0..1.2));
            self.driver.kill_during(after, work).await?;
        }
        self.driver.replace().await?;
        self.client = self.driver.configured().await?;
        Ok(())
    }
}

/// The content at `path`; `None` when there is none.
async fn at(client: &Client, path: &str) -> Outcome<Option<Vec<u8>>> {
    match client.read(path, 0, None).await {
        Ok((_, seen)) => Ok(Some(seen)),
        Err(status) if from_status(&status).is_some_and(|error| error.reason() == Reason::NotFound) => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// `seen` is one of two contents, whole.
fn old_or_new(what: &str, seen: Option<&[u8]>, old: &[u8], new: &[u8]) -> Outcome {
    let Some(seen) = seen else { return broken(format!("{what}: nothing, and there was content before")) };
    match (difference(seen, old), difference(seen, new)) {
        (Some(from_old), Some(from_new)) => {
            broken(format!("{what} is neither the old ({from_old}) nor the new ({from_new}) content"))
        }
        _ => Ok(()),
    }
}

const ROUNDS: u64 = 8;
const AT_ONCE: usize = 8;

async fn amid_puts(launch: Launch) -> Outcome {
    let mut doomed = Doomed::start(&launch).await?;
    let paths: Vec<String> = (0..AT_ONCE).map(|number| doomed.client.at(&format!("{number}"))).collect();
    for round in 0..ROUNDS {
        let (old, new) = (content(2 * round, 700_000), content(2 * round + 1, 1 << 20));
        try_join_all(paths.iter().map(|path| doomed.client.put(path, old.clone()))).await?;
        let client = doomed.client.clone();
        doomed.amid(join_all(paths.iter().map(|path| client.put(path, new.clone())))).await?;
        for path in &paths {
            let seen = at(&doomed.client, path).await?;
            old_or_new("content whose Put was cut", seen.as_deref(), &old, &new)?;
            doomed.client.put(path, new.clone()).await?;
            same_bytes("the repeated Put", &doomed.client.get(path).await?.1, &new)?;
        }
    }
    shown(&doomed.client, &paths).await
}

/// Walk shows `paths` and nothing else.
async fn shown(client: &Client, paths: &[String]) -> Outcome {
    let walked = client.walk(client.root(), "").await?.into_iter().flat_map(|message| message.entries);
    equal("what Walk shows", walked.map(|entry| entry.path).collect::<Vec<_>>(), paths.to_vec())
}

async fn amid_moves(launch: Launch) -> Outcome {
    let mut doomed = Doomed::start(&launch).await?;
    let pairs: Vec<(String, String)> = (0..AT_ONCE * 2)
        .map(|number| (doomed.client.at(&format!("a/{number}")), doomed.client.at(&format!("b/{number}/c"))))
        .collect();
    for round in 0..ROUNDS {
        let (old, new) = (content(2 * round, 3_000), content(2 * round + 1, 50_000));
        try_join_all(pairs.iter().map(|(source, _)| doomed.client.put(source, new.clone()))).await?;
        try_join_all(pairs.iter().map(|(_, target)| doomed.client.put(target, old.clone()))).await?;
        let client = doomed.client.clone();
        doomed.amid(join_all(pairs.iter().map(|(source, target)| client.rename(source, target)))).await?;
        for (source, target) in &pairs {
            settles(&doomed.client, source, target, &old, &new).await?;
        }
    }
    Ok(())
}

/// A Move that was cut left `new` at one path at least, and repeating it leaves it at the target alone.
async fn settles(client: &Client, source: &str, target: &str, old: &[u8], new: &[u8]) -> Outcome {
    let (from, to) = (at(client, source).await?, at(client, target).await?);
    old_or_new("the target of a Move that was cut", to.as_deref(), old, new)?;
    match &from {
        Some(from) => same_bytes("the source of a Move that was cut", from, new)?,
        None => same_bytes("the target of a Move whose source is gone", &to.unwrap_or_default(), new)?,
    }
    match client.rename(source, target).await {
        Ok(_) => ensure(from.is_some(), || "a Move from nothing is OK".to_owned())?,
        Err(status) => drop(refused("a repeated Move", Err::<(), _>(status), Reason::NotFound)?),
    }
    refused("the source of a repeated Move", client.stat(source).await, Reason::NotFound)?;
    same_bytes("the target of a repeated Move", &client.get(target).await?.1, new)
}

async fn amid_deletes(launch: Launch) -> Outcome {
    let mut doomed = Doomed::start(&launch).await?;
    let tree = doomed.client.at("tree");
    let paths: Vec<String> = (0..150).map(|number| format!("{tree}/{}/{number}", number % 7)).collect();
    let wanted = content(1, 10_000);
    for _ in 0..5 {
        try_join_all(paths.iter().map(|path| doomed.client.put(path, wanted.clone()))).await?;
        let client = doomed.client.clone();
        doomed.amid(client.delete(&tree, true)).await?;
        for path in &paths {
            if let Some(seen) = at(&doomed.client, path).await? {
                same_bytes("content amid a Delete that was cut", &seen, &wanted)?;
            }
        }
        doomed.client.delete(&tree, true).await?;
        refused("Stat after the repeated Delete", doomed.client.stat(&tree).await, Reason::NotFound)?;
        shown(&doomed.client, &[]).await?;
    }
    Ok(())
}

async fn amid_commits(launch: Launch) -> Outcome {
    let mut doomed = Doomed::start(&launch).await?;
    let size = doomed.client.aligned(200_000);
    let pairs: Vec<(String, String)> = (0..AT_ONCE)
        .map(|number| (doomed.client.at(&format!("up/{number}")), doomed.client.at(&format!("blob/{number}/data"))))
        .collect();
    for round in 0..ROUNDS {
        let (old, new) = (content(2 * round, 3_000), content(2 * round + 1, size as usize));
        try_join_all(pairs.iter().map(|(_, target)| doomed.client.put(target, old.clone()))).await?;
        for session in try_join_all(pairs.iter().map(|(staging, _)| doomed.client.stage(staging, &new))).await? {
            session.end().await?;
        }
        let client = doomed.client.clone();
        doomed.amid(join_all(pairs.iter().map(|(staging, target)| client.commit(staging, target, size)))).await?;
        for (staging, target) in &pairs {
            let seen = at(&doomed.client, target).await?;
            old_or_new("the target of a Commit that was cut", seen.as_deref(), &old, &new)?;
            equal("what a repeated Commit tells", doomed.client.commit(staging, target, size).await?.size, size)?;
            same_bytes(
                "the target of a repeated Commit",
                &at(&doomed.client, target).await?.unwrap_or_default(),
                &new,
            )?;
        }
    }
    Ok(())
}
