//! How much passes through one stream, and through several at once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join_all;
use storagedriver_proto::limits::CHUNK_PREFERRED;
use storagedriver_proto::v1alpha1::ReadRequest;
use storagedriver_proto::v1alpha1::write_request::Kind;
use tonic::Status;

use super::keep;
use crate::block::content;
use crate::client::Client;
use crate::report::{Measurements, Throughput};

type Reply<T> = Result<T, Status>;

/// What each stream carries, and the time after which it stops short.
const STREAM: u64 = 64 << 20;
const WITHIN: Duration = Duration::from_secs(3);
/// Streams at once.
const STREAMS: [usize; 2] = [1, 4];

pub(super) async fn all(client: &Client, found: &mut Measurements, tell: &(dyn Fn(&str) + Send + Sync)) {
    let Measurements { streams, omitted, .. } = found;
    for count in STREAMS {
        let name = format!("Write and Commit, {count} at once");
        tell(&name);
        keep(&name, written(client, count), streams, omitted).await;
    }
    for count in STREAMS {
        let name = format!("Read, {count} at once");
        tell(&name);
        keep(&name, read(client, count), streams, omitted).await;
    }
    streams.sort_by(|one, other| (&one.operation, one.streams).cmp(&(&other.operation, other.streams)));
}

async fn written(client: &Client, streams: usize) -> Reply<Throughput> {
    let chunk = content(3, CHUNK_PREFERRED);
    let began = Instant::now();
    let bytes = try_join_all((0..streams).map(|number| write(client, number, chunk.clone(), began))).await?;
    Ok(throughput("Write and Commit", &bytes, began))
}

/// Writes and publishes `stream/NUMBER`; the bytes it has.
async fn write(client: &Client, number: usize, chunk: Bytes, began: Instant) -> Reply<u64> {
    let (staging, target) = (client.at(&format!("staging/{number}")), client.at(&format!("stream/{number}")));
    let mut session = client.open_for(&staging, 0, &target).await?;
    let mut bytes = 0;
    while bytes < STREAM && goes_on(client, began) {
        session.send(Kind::Data(chunk.clone())).await;
        bytes += chunk.len() as u64;
    }
    session.flush().await?;
    client.commit(&staging, &target, bytes).await?;
    Ok(bytes)
}

/// Reads what the measuring of writes has published.
async fn read(client: &Client, streams: usize) -> Reply<Throughput> {
    let began = Instant::now();
    let bytes = try_join_all((0..streams).map(|number| read_one(client, number, began))).await?;
    Ok(throughput("Read", &bytes, began))
}

async fn read_one(client: &Client, number: usize, began: Instant) -> Reply<u64> {
    let request = ReadRequest { path: client.at(&format!("stream/{number}")), ..ReadRequest::default() };
    let mut messages = client.open_read(request).await?;
    let mut bytes = 0;
    while let Some(message) = messages.message().await? {
        bytes += message.data.len() as u64;
        client.journal().received(message.data.len());
        if !goes_on(client, began) {
            break;
        }
    }
    Ok(bytes)
}

fn goes_on(client: &Client, began: Instant) -> bool {
    began.elapsed() < WITHIN && client.journal().exhausted().is_none()
}

fn throughput(operation: &str, bytes: &[u64], began: Instant) -> Throughput {
    let seconds = began.elapsed().as_secs_f64();
    Throughput { operation: operation.to_owned(), streams: bytes.len(), bytes: bytes.iter().sum(), seconds }
}
