//! How a call runs: its errors become statuses, a panic costs that call alone, and its deadline ends it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use crate::error::{Error, ErrorKind, Result};
use crate::wire::status;

/// Runs a unary call, dropping its work when the caller goes away. Its deadline is tonic's care.
pub(crate) async fn answer<T>(path: &str, work: impl Future<Output = Result<T>>) -> Result<Response<T>, Status> {
    outcome(path, AssertUnwindSafe(work).catch_unwind().await).map(Response::new)
}

/// Runs a unary call to its end, whatever becomes of the caller.
pub(crate) async fn answer_to_the_end<T: Send + 'static>(
    path: String,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<Response<T>, Status> {
    let call = tokio::spawn(async move { answer(&path, work).await });
    call.await.unwrap_or_else(|_| Err(Status::cancelled("the driver is going away")))
}

/// Runs an answer that is a stream, until the caller drops it.
pub(crate) fn answer_stream<T: Send + 'static>(
    path: String,
    items: impl Stream<Item = Result<T>> + Send + 'static,
) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
    AssertUnwindSafe(items).catch_unwind().map(move |item| outcome(&path, item))
}

/// Ends a stream, and drops the work behind it, when the deadline passes.
pub(crate) fn until<T: Send + 'static>(
    deadline: Option<Instant>,
    items: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> BoxStream<'static, Result<T, Status>> {
    let Some(deadline) = deadline else { return items.boxed() };
    let timed = stream::unfold(Some(items.boxed()), move |items| async move {
        let mut items = items?;
        match tokio::time::timeout_at(deadline, items.next()).await {
            Ok(item) => item.map(|item| (item, Some(items))),
            Err(_) => Some((Err(Status::deadline_exceeded("the deadline of the call has passed")), None)),
        }
    });
    timed.boxed()
}

/// What a call came to, or how it panicked.
pub(crate) fn outcome<T>(path: &str, caught: Result<Result<T>, Box<dyn Any + Send>>) -> Result<T, Status> {
    unless_panicked(caught).map_err(|error| status(path, &error))
}

fn unless_panicked<T>(caught: Result<Result<T>, Box<dyn Any + Send>>) -> Result<T> {
    caught.unwrap_or_else(|_panic| {
        Err(Error::new(ErrorKind::Internal, "the driver failed by a fault of its own; its log tells where"))
    })
}

/// Runs work of which a panic is an error like any other.
pub(crate) async fn contained<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    unless_panicked(AssertUnwindSafe(work).catch_unwind().await)
}

/// Runs work to its end, whatever becomes of who waits for it.
pub(crate) async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let done = tokio::spawn(contained(work)).await;
    done.unwrap_or_else(|ending| Err(Error::new(ErrorKind::Internal, "the driver is ending").with_source(ending)))
}

/// When the caller stops waiting, by its `grpc-timeout`.
pub(crate) fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    Instant::now().checked_add(parse_timeout(text)?)
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u32 = digits.parse().ok()?;
    let unit = match unit {
        "H" => Duration::from_secs(3600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    unit.checked_mul(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_grpc_timeout() {
        let rows = [
            ("2H", Some(Duration::from_secs(7200))),
            ("1M", Some(Duration::from_secs(60))),
            ("30S", Some(Duration::from_secs(30))),
            ("99999999m", Some(Duration::from_millis(99_999_999))),
            ("5u", Some(Duration::from_micros(5))),
            ("0n", Some(Duration::ZERO)),
            ("", None),
            ("S", None),
            ("-1S", None),
            ("1x", None),
            ("1é", None),
        ];
        for (text, duration) in rows {
            assert_eq!(parse_timeout(text), duration, "{text:?}");
        }
    }
}
