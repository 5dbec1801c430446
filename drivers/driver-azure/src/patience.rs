//! [`Patience`]: how often a request is repeated, and how long it may take. Nothing else of the driver repeats a request.
//!
//! It stands before the signing, so that every attempt is signed anew.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{ClientMethodOptions, Context, Request};
use rand::Rng;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{CODE, RETRY_AFTER, is_busy};

/// Attempts at one request that the server does not answer, or answers with trouble.
const ATTEMPTS: u32 = 4;
/// The wait before a repetition is at random up to this, which doubles.
const REST_FIRST: Duration = Duration::from_millis(100);
/// A server that asks for more patience than this is told of rather than waited for.
const REST_LAST: Duration = Duration::from_secs(3);
/// Between looks whether somebody's lease is over, at random.
const LEASE_REST_MS: std::ops::Range<u64> = 50..250;

/// The time of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    attempt: Duration,
    all: Duration,
    /// A lease of somebody else is waited for.
    waits: bool,
}

impl Limits {
    /// Of a request that carries little and is answered at once.
    const SMALL: Limits = Limits { attempt: Duration::from_secs(10), all: Duration::from_secs(40), waits: true };
    /// Of a request that carries a block, or that keeps the server busy with one.
    const BULK: Limits =
        Limits { attempt: Duration::from_secs(5 * 60), all: Duration::from_secs(15 * 60), waits: true };
    /// Of a request that is made again by its caller.
    const BRIEF: Limits = Limits { waits: false, ..Limits::BULK };

    fn options(self) -> ClientMethodOptions<'static> {
        ClientMethodOptions { context: Context::new().with_value(self) }
    }
}

/// For a request that moves much.
pub(crate) fn bulk() -> ClientMethodOptions<'static> {
    Limits::BULK.options()
}

/// For a request that is not to wait until a lease of somebody else is over.
pub(crate) fn brief() -> ClientMethodOptions<'static> {
    Limits::BRIEF.options()
}

/// The policy.
#[derive(Debug)]
pub(crate) struct Patience;

/// What an attempt came to.
enum Attempt {
    Final,
    /// The server did not answer, or is in trouble, and may have said how long to wait.
    Repeat(Option<Duration>),
    Busy,
}

fn judge(result: &PolicyResult, limits: &Limits) -> Attempt {
    let answer = match result {
        Ok(answer) => answer,
        Err(failure) if matches!(failure.kind(), ErrorKind::Io | ErrorKind::Connection) => {
            return Attempt::Repeat(None);
        }
        Err(_) => return Attempt::Final,
    };
    let code = answer.headers().get_optional_str(&CODE).unwrap_or_default();
    match u16::from(answer.status()) {
        409 | 412 if limits.waits && is_busy(code) => Attempt::Busy,
        408 | 429 | 500 | 502..=504 => {
            let asked = answer.headers().get_optional_str(&RETRY_AFTER).and_then(|text| text.trim().parse().ok());
            Attempt::Repeat(asked.map(Duration::from_secs))
        }
        _ => Attempt::Final,
    }
}

/// How long to rest before the next attempt; `None` when there is none.
fn rest(attempt: &Attempt, number: u32) -> Option<Duration> {
    match attempt {
        Attempt::Final => None,
        Attempt::Busy => Some(Duration::from_millis(rand::rng().random_range(LEASE_REST_MS))),
        Attempt::Repeat(_) if number >= ATTEMPTS => None,
        Attempt::Repeat(Some(asked)) => (*asked <= REST_LAST).then_some(*asked),
        Attempt::Repeat(None) => {
            let most = REST_FIRST.saturating_mul(1 << number.min(10)).min(REST_LAST);
            Some(most.mul_f64(rand::random()))
        }
    }
}

#[async_trait]
impl Policy for Patience {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let [policy, after @ ..] = next else {
            return Err(azure_core::Error::with_message(ErrorKind::Other, "nothing sends requests"));
        };
        let limits = *ctx.value::<Limits>().unwrap_or(&Limits::SMALL);
        let until = Instant::now() + limits.all;
        let mut number = 0;
        loop {
            let time = limits.attempt.min(until.saturating_duration_since(Instant::now()));
            let sent = timeout(time, policy.send(ctx, request, after)).await;
            let result = sent.unwrap_or_else(|late| Err(azure_core::Error::new(ErrorKind::Io, late)));
            let attempt = judge(&result, &limits);
            number += u32::from(matches!(attempt, Attempt::Repeat(_)));
            match rest(&attempt, number) {
                Some(rest) if Instant::now() + rest < until => sleep(rest).await,
                _ => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::headers::Headers;
    use azure_core::http::{AsyncRawResponse, StatusCode};

    use super::*;

    fn answer(status: u16, code: &'static str, after: &'static str) -> PolicyResult {
        let mut headers = Headers::new();
        headers.insert(CODE, code);
        headers.insert(RETRY_AFTER, after);
        Ok(AsyncRawResponse::from_bytes(StatusCode::from(status), headers, ""))
    }

    #[test]
    fn only_what_may_pass_is_repeated() {
        let rest_of = |result: PolicyResult, number| rest(&judge(&result, &Limits::SMALL), number);
        assert!(rest_of(answer(200, "", ""), 1).is_none());
        assert!(rest_of(answer(404, "BlobNotFound", ""), 1).is_none());
        assert!(rest_of(answer(412, "ConditionNotMet", ""), 1).is_none());
        assert!(rest_of(answer(500, "InternalError", ""), 1).is_some_and(|rest| rest <= REST_LAST));
        assert!(rest_of(answer(500, "InternalError", ""), ATTEMPTS).is_none());
        assert_eq!(rest_of(answer(503, "ServerBusy", "2"), 1), Some(Duration::from_secs(2)));
        assert!(rest_of(answer(503, "ServerBusy", "60"), 1).is_none(), "too long to wait for");
        assert!(rest_of(answer(412, "LeaseIdMissing", ""), 99).is_some());
        assert!(matches!(judge(&answer(412, "LeaseIdMissing", ""), &Limits::BRIEF), Attempt::Final));
    }
}
