//! How long each operation takes, one call after the other.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use storagedriver_proto::v1alpha1::ReadRequest;
use tonic::Status;

use super::keep;
use crate::block::content;
use crate::client::Client;
use crate::report::{Latency, Measurements};

type Reply<T> = Result<T, Status>;

/// Calls of one operation, and the time that they and what they need may take.
const CALLS: usize = 200;
const WITHIN: Duration = Duration::from_secs(1);
/// Calls that come first and do not count.
const WARMING: usize = 5;

const SMALL: usize = 4 << 10;
const LARGE: usize = 1 << 20;
/// Content in the listed prefix.
const LISTED: usize = 100;

pub(super) async fn all(client: &Client, found: &mut Measurements, tell: &(dyn Fn(&str) + Send + Sync)) {
    let bench = Bench { client, small: content(1, SMALL), large: content(2, LARGE) };
    if let Err(problem) = bench.prepare().await {
        found.omitted.push(format!("every latency: {}", problem.message()));
        return;
    }
    let Measurements { operations, omitted, .. } = found;
    for operation in Operation::ALL {
        let name = operation.name();
        tell(name);
        keep(name, bench.latency(operation), operations, omitted).await;
    }
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Stat,
    Get,
    Put,
    List,
    Delete,
    FirstByte,
    Publish,
}

impl Operation {
    const ALL: [Operation; 7] = [
        Operation::Stat,
        Operation::Get,
        Operation::Put,
        Operation::List,
        Operation::Delete,
        Operation::FirstByte,
        Operation::Publish,
    ];

    fn name(self) -> &'static str {
        match self {
            Operation::Stat => "Stat",
            Operation::Get => "Get 4 KiB",
            Operation::Put => "Put 4 KiB",
            Operation::List => "List of 100",
            Operation::Delete => "Delete",
            Operation::FirstByte => "Read, first byte",
            Operation::Publish => "Write and Commit 1 MiB",
        }
    }
}

struct Bench<'a> {
    client: &'a Client,
    small: Bytes,
    large: Bytes,
}

impl Bench<'_> {
    async fn prepare(&self) -> Reply<()> {
        self.client.put(&self.client.at("large"), self.large.clone()).await?;
        let puts = stream::iter(0..LISTED).map(|number| self.put(format!("list/{number:03}")));
        puts.buffer_unordered(8).try_collect::<Vec<_>>().await.map(drop)
    }

    async fn put(&self, relative: String) -> Reply<()> {
        self.client.put(&self.client.at(&relative), self.small.clone()).await.map(drop)
    }

    async fn latency(&self, operation: Operation) -> Reply<Latency> {
        let mut took = Vec::with_capacity(CALLS);
        let began = Instant::now();
        for number in 0..WARMING + CALLS {
            let call = self.timed(operation, number).await?;
            if number >= WARMING || began.elapsed() > WITHIN {
                took.push(call);
            }
            if began.elapsed() > WITHIN {
                break;
            }
        }
        Ok(summary(operation.name(), took))
    }

    /// How long one call takes, without what it needs before and leaves behind.
    async fn timed(&self, operation: Operation, number: usize) -> Reply<Duration> {
        let client = self.client;
        let listed = client.at("list/050");
        match operation {
            Operation::Stat => time(client.stat(&listed)).await,
            Operation::Get => time(client.get(&listed)).await,
            Operation::Put => time(self.put(format!("put/{number}"))).await,
            Operation::List => time(client.list(&client.at("list"), "", 0)).await,
            Operation::Delete => {
                self.put(format!("delete/{number}")).await?;
                time(client.delete(&client.at(&format!("delete/{number}")), false)).await
            }
            Operation::FirstByte => self.first_byte().await,
            Operation::Publish => self.publish(number).await,
        }
    }

    /// The rest of the content is read too, so that no cancelled call disturbs the next one.
    async fn first_byte(&self) -> Reply<Duration> {
        let began = Instant::now();
        let request = ReadRequest { path: self.client.at("large"), ..ReadRequest::default() };
        let mut messages = self.client.open_read(request).await?;
        let mut first = None;
        while let Some(message) = messages.message().await? {
            self.client.journal().received(message.data.len());
            first = first.or_else(|| (!message.data.is_empty()).then(|| began.elapsed()));
        }
        first.ok_or_else(|| Status::internal("the content that was stored is empty"))
    }

    async fn publish(&self, number: usize) -> Reply<Duration> {
        let (staging, target) = (self.client.at("staging"), self.client.at(&format!("publish/{number}")));
        let began = Instant::now();
        let session = self.client.stage(&staging, &self.large).await?;
        self.client.commit(&staging, &target, LARGE as u64).await?;
        let took = began.elapsed();
        drop(session);
        self.client.delete(&target, false).await?;
        Ok(took)
    }
}

async fn time<T>(calling: impl Future<Output = Reply<T>>) -> Reply<Duration> {
    let began = Instant::now();
    calling.await?;
    Ok(began.elapsed())
}

fn summary(operation: &str, mut took: Vec<Duration>) -> Latency {
    took.sort_unstable();
    let microseconds = |time: &Duration| (time.as_secs_f64() * 1e7).round() / 10.0;
    let at = |hundredth: usize| took.get(rank(took.len(), hundredth)).map_or(0.0, microseconds);
    Latency {
        operation: operation.to_owned(),
        calls: took.len(),
        p50_us: at(50),
        p90_us: at(90),
        p99_us: at(99),
        max_us: at(100),
    }
}

/// The place of the smallest of `count` sorted values below or at which `hundredth` of a hundred lie.
fn rank(count: usize, hundredth: usize) -> usize {
    (count * hundredth).div_ceil(100).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let told = summary("Stat", (1..=200).rev().map(Duration::from_micros).collect());
        assert_eq!((told.calls, told.p50_us, told.p90_us, told.p99_us, told.max_us), (200, 100.0, 180.0, 198.0, 200.0));
        let one = summary("Stat", vec![Duration::from_micros(7)]);
        assert_eq!((one.p50_us, one.p99_us, one.max_us), (7.0, 7.0, 7.0));
    }
}
