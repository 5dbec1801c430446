//! Many callers at once: what they see can be told as one call after another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1 as pb;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::{Request, Status};

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, refused_as, same_bytes};
use crate::history::{CALLS_MAX, Call, Effect, State, is_linearizable};

cases! { "concurrency":
    Full Writing [G1 G2 U1 D1 O2] "What any number of callers see of a path can be told as one call after another."
        => linearizable,
    Full Writing [G9 W7 O2] "Many sessions are written at once, each into its own content." => parallel_sessions,
    Full Writing [O4 G2] "Under readers, Commit replaces a content in one step." => commit_under_readers,
    Full Writing [G2 G7] "A call whose deadline passed has taken effect or not, and nothing in between." => short_deadlines,
    Full Writing [G7 G9] "Calls that are cancelled by the hundred harm no other." => cancel_storm,
}

const PATHS: u64 = 5;
const CALLERS: u64 = 8;
const ROUNDS: u64 = 6;
const CALLS_EACH: u64 = 10;

/// The bytes of content `number`, whose length its number tells.
fn numbered(number: u64) -> Bytes {
    content(number, 16 + (number * 7919 % 60_000) as usize)
}

/// A caller of a linearizability test, with what all callers share.
struct Caller {
    client: Client,
    clock: Arc<AtomicU64>,
    numbers: Arc<AtomicU64>,
    random: StdRng,
    log: Vec<(u64, Call)>,
}

impl Caller {
    /// Makes one call at random and notes it with its path.
    async fn step(&mut self) -> Outcome {
        let place = self.random.random_range(0..PATHS);
        let path = self.client.at(&format!("p{place}"));
        let number = self.numbers.fetch_add(1, Ordering::SeqCst);
        let choice = self.random.random_range(0..10);
        let began = self.clock.fetch_add(1, Ordering::SeqCst);
        let effect = match choice {
            0..3 => self.client.put(&path, numbered(number)).await.map(|_| Effect::Became(Some(number)))?,
            3 => self.client.delete(&path, false).await.map(|()| Effect::Became(None))?,
            4 => self.commit(&path, number).await?,
            5 if self.client.capabilities().if_absent => self.create(&path, number).await?,
            6 => Effect::Seen(known(self.client.read(&path, 0, None).await.map(|(_, seen)| Bytes::from(seen)))?),
            _ => Effect::Seen(known(self.client.get(&path).await.map(|(_, seen)| seen))?),
        };
        let ended = Some(self.clock.fetch_add(1, Ordering::SeqCst));
        self.log.push((place, Call { began, ended, effect }));
        Ok(())
    }

    async fn commit(&self, path: &str, number: u64) -> Outcome<Effect> {
        let (staging, bytes) = (self.client.at(&format!("staging/{number}")), numbered(number));
        let _session = self.client.stage(&staging, &bytes).await?;
        self.client.commit(&staging, path, bytes.len() as u64).await?;
        Ok(Effect::Became(Some(number)))
    }

    async fn create(&self, path: &str, number: u64) -> Outcome<Effect> {
        match self.client.put_if(path, numbered(number), true).await {
            Ok(_) => Ok(Effect::Created(number)),
            lost => refused_as("Put with if_absent", lost, &[Reason::AlreadyExists]).map(|_| Effect::WasTaken),
        }
    }
}

/// Which content was read. Bytes of none are a mixture.
fn known(read: Result<Bytes, Status>) -> Outcome<State> {
    match read {
        Ok(seen) => {
            let word = seen.first_chunk::<8>().map(|word| u64::from_le_bytes(*word)).unwrap_or_default();
            let number = word ^ u64::from_le_bytes(content(0, 8)[..].try_into().unwrap_or_default());
            // Bytes of no content would make a number of any size.
            same_bytes("a content", &seen, &numbered(number % 1_000_000)).map(|()| Some(number))
        }
        missing => refused_as("Get or Read", missing, &[Reason::NotFound]).map(|_| None),
    }
}

async fn linearizable(client: Client) -> Outcome {
    let (clock, numbers) = (Arc::default(), Arc::new(AtomicU64::new(1)));
    for round in 0..ROUNDS {
        let root = format!("{}/{round}", client.root());
        let caller = |number| Caller {
            client: client.for_case(root.clone(), client.seed(), client.journal().clone()),
            clock: Arc::clone(&clock),
            numbers: Arc::clone(&numbers),
            random: StdRng::seed_from_u64(client.seed() ^ (round << 32 | number)),
            log: Vec::new(),
        };
        let histories = join_all((0..CALLERS).map(caller).map(async |mut caller: Caller| {
            for _ in 0..CALLS_EACH {
                caller.step().await?;
            }
            Outcome::Ok(caller.log)
        }))
        .await;
        let histories = histories.into_iter().collect::<Outcome<Vec<_>>>()?;
        check(&histories.concat())?;
    }
    Ok(())
}

/// Each path's part of the history, by itself: registers that are linearizable one by one are so together.
fn check(history: &[(u64, Call)]) -> Outcome {
    for path in 0..PATHS {
        let mut calls: Vec<Call> = history.iter().filter(|(at, _)| *at == path).map(|(_, call)| *call).collect();
        calls.sort_by_key(|call| call.began);
        calls.truncate(CALLS_MAX);
        ensure(is_linearizable(&calls), || format!("p{path}: no order of these calls explains them: {calls:?}"))?;
    }
    Ok(())
}

async fn parallel_sessions(client: Client) -> Outcome {
    const SIZE: usize = 4 << 20;
    let writes = (0..32u64).map(async |number| {
        let (staging, target) = (client.at(&format!("s/{number}")), client.at(&format!("t/{number}")));
        let wanted = content(number, SIZE - number as usize);
        let mut session = client.open_for(&staging, 0, &target).await?;
        for piece in wanted.chunks(1_000_000) {
            session.data(piece).await;
        }
        session.flush().await?;
        client.commit(&staging, &target, wanted.len() as u64).await?;
        same_bytes("a content of many", &client.read(&target, 0, None).await?.1, &wanted)
    });
    join_all(writes).await.into_iter().collect()
}

async fn commit_under_readers(client: Client) -> Outcome {
    let contents: Vec<Bytes> = (1..5).map(|number| content(number, 700_000 - 1000 * number as usize)).collect();
    client.store("a", &contents[0]).await?;
    let writing = async {
        for round in 0..60 {
            client.store("a", &contents[round % contents.len()]).await?;
        }
        Ok::<_, Status>(())
    };
    let reading = async {
        for _ in 0..60 {
            let (info, seen) = client.get(&client.at("a")).await?;
            ensure(contents.contains(&seen), || format!("a mixture of {} bytes", seen.len()))?;
            equal("the size in info", info.size, seen.len() as u64)?;
        }
        Outcome::Ok(())
    };
    let (written, read) = tokio::join!(writing, reading);
    written?;
    read
}

/// A request that its caller gives up after `deadline`.
fn within<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

async fn short_deadlines(client: Client) -> Outcome {
    let (old, new) = (content(1, 400_000), content(2, 300_000));
    let mut random = client.random();
    for round in 0..80 {
        let path = client.at(&round.to_string());
        client.put(&path, old.clone()).await?;
        let put = pb::PutRequest { path: path.clone(), content: new.clone(), if_absent: false };
        let deadline = Duration::from_micros(random.random_range(100..3000));
        let done = client.raw().put(within(put, deadline)).await;
        let (_, seen) = client.get(&path).await?;
        ensure(seen == old || seen == new, || format!("{} bytes, which are neither old nor new", seen.len()))?;
        match done {
            Ok(_) => same_bytes("what was put", &seen, &new)?,
            Err(status) if from_status(&status).is_some() => {
                return broken(format!("a deadline is no answer of the storage: {status:?}"));
            }
            Err(_) => {}
        }
    }
    comes_to_rest(&client).await
}

/// What was given up may still take effect, for ten seconds; then it has or it never will.
async fn comes_to_rest(client: &Client) -> Outcome {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        client.delete(client.root(), true).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        if client.walk_paths(client.root(), "").await?.is_empty() {
            return Ok(());
        }
        let late = tokio::time::Instant::now() > deadline;
        ensure(!late, || "calls that were given up ten seconds ago still take effect".to_owned())?;
    }
}

async fn cancel_storm(client: Client) -> Outcome {
    client.store("large", &content(3, 3_000_000)).await?;
    client.put_all((0..300).map(|number| format!("t/{number}"))).await?;
    let (large, tree) = (client.at("large"), client.at("t"));
    for round in 0..60 {
        let staging = client.at(&format!("s/{round}"));
        let calls = async {
            let (read, walk) = (client.read(&large, 0, None), client.walk(&tree, ""));
            let bytes = content(4, 500_000);
            let (list, write) = (client.list(&tree, "", 0), client.stage(&staging, &bytes));
            tokio::join!(read, walk, list, write)
        };
        // Cancelling is what is looked at; where each call stands then is left to chance.
        let _ = tokio::time::timeout(Duration::from_micros(200 * (round % 20)), calls).await;
    }
    let stat = tokio::time::timeout(Duration::from_secs(5), client.stat(&large)).await;
    ensure(matches!(stat, Ok(Ok(_))), || format!("Stat after many cancelled calls: {stat:?}"))?;
    same_bytes("a content after it", &client.read(&large, 0, None).await?.1, &content(3, 3_000_000))
}
