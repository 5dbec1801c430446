//! What a server looks at before it looks at what is asked: who asks, and when. Here it is also that it answers nonsense.
//!
//! It knows nothing of objects.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, DATE, HeaderValue};
use hyper::{Method, Request, Response};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::S3Service;
use s3s::{Body, HttpError, S3Result, s3_error};

use super::Shared;

/// How far the clocks of a signer and of Amazon S3 may be apart, in seconds.
const SKEW_MAX: i64 = 15 * 60;

/// What lets somebody in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Key {
    pub(crate) access: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
    /// From then on it lets nobody in.
    pub(crate) until: Option<SystemTime>,
}

/// Those that let somebody in, known to whoever gives them out.
pub(crate) type Keys = Arc<Mutex<Vec<Key>>>;

#[derive(Default)]
pub(super) struct Front {
    pub(super) keys: Keys,
    /// Seconds by which the server's clock is ahead of everybody's.
    pub(super) ahead: i64,
    pub(super) mishaps: Option<Mishaps>,
    /// The access keys that were seen, each once for all requests in a row.
    pub(super) signers: Vec<String>,
}

/// Answers that say nothing of what was asked, by chance.
pub(super) struct Mishaps {
    chance: StdRng,
    /// Of each request.
    share: f64,
    pub(super) happened: usize,
}

/// One of them.
struct Mishap {
    status: u16,
    code: &'static str,
    /// What was asked is done before.
    is_done: bool,
}

impl Mishaps {
    pub(super) fn new(seed: u64, share: f64) -> Self {
        Mishaps { chance: StdRng::seed_from_u64(seed), share, happened: 0 }
    }

    fn draw(&mut self, request: &Request<Incoming>) -> Option<Mishap> {
        if !self.chance.random_bool(self.share) {
            return None;
        }
        self.happened += 1;
        let is_done = self.chance.random();
        let (status, code) = match self.chance.random_range(0..6) {
            0 => (503, "SlowDown"),
            1 => (500, "InternalError"),
            2 => (503, "ServiceUnavailable"),
            // Of something between.
            3 => (502, ""),
            4 => (503, ""),
            // S3 begins its answer to what takes long before it knows how that ends.
            _ if takes_long(request) => (200, "InternalError"),
            _ => (500, "InternalError"),
        };
        Some(Mishap { status, code, is_done })
    }
}

fn takes_long(request: &Request<Incoming>) -> bool {
    let is_completion =
        request.method() == Method::POST && request.uri().query().is_some_and(|query| query.contains("uploadId"));
    is_completion || request.headers().contains_key("x-amz-copy-source")
}

impl Front {
    /// Whether somebody may ask at all; the status and code of the refusal.
    fn check(&mut self, request: &Request<Incoming>) -> Result<(), (u16, &'static str)> {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let signer =
            header(AUTHORIZATION.as_str()).and_then(|value| value.split("Credential=").nth(1)?.split('/').next());
        let Some(signer) = signer else { return Ok(()) };
        if self.signers.last().is_none_or(|last| last != signer) {
            self.signers.push(signer.to_owned());
        }
        let signed = header("x-amz-date").and_then(seconds).unwrap_or_default();
        if (self.now() - signed).abs() > SKEW_MAX {
            return Err((403, "RequestTimeTooSkewed"));
        }
        let Some(key) = self.key(signer) else { return Ok(()) };
        if header("x-amz-security-token") != key.token.as_deref() {
            return Err((400, "InvalidToken"));
        }
        if key.until.is_some_and(|until| SystemTime::now() >= until) { Err((400, "ExpiredToken")) } else { Ok(()) }
    }

    fn key(&self, access: &str) -> Option<Key> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().find(|key| key.access == access).cloned()
    }

    fn now(&self) -> i64 {
        DateTime::from(SystemTime::now()).secs() + self.ahead
    }
}

/// A time as requests are signed with it.
fn seconds(stamp: &str) -> Option<i64> {
    let (day, time) = (stamp.get(..8)?, stamp.get(9..15)?);
    let stamp = format!("{}-{}-{}T{}:{}:{}Z", &day[..4], &day[4..6], &day[6..], &time[..2], &time[2..4], &time[4..]);
    Some(DateTime::from_str(&stamp, Format::DateTime).ok()?.secs())
}

#[tonic::async_trait]
impl S3Auth for Shared {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let key = self.lock().front.key(access_key);
        key.map(|key| SecretKey::from(key.secret.as_str())).ok_or_else(|| s3_error!(InvalidAccessKeyId))
    }
}

/// Answers a request, or what is done instead.
pub(super) async fn answer(
    shared: Shared,
    service: S3Service,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    let is_head = request.method() == Method::HEAD;
    let (checked, mishap, now) = {
        let front = &mut shared.lock().front;
        let mishap = front.mishaps.as_mut().and_then(|mishaps| mishaps.draw(&request));
        (front.check(&request), mishap, front.now())
    };
    let mut response = match (checked, mishap) {
        (Err((status, code)), _) => refusal(status, code, is_head),
        (Ok(()), None) => service.call(request.map(Body::from)).await?,
        (Ok(()), Some(Mishap { status, code, is_done })) => {
            if is_done {
                service.call(request.map(Body::from)).await?;
            }
            refusal(status, code, is_head)
        }
    };
    if let Ok(date) = DateTime::from_secs(now).fmt(Format::HttpDate) {
        response.headers_mut().insert(DATE, HeaderValue::from_str(&date).unwrap());
    }
    Ok(response)
}

fn refusal(status: u16, code: &str, is_head: bool) -> Response<Body> {
    let told = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>a mishap</Message></Error>");
    let body = if is_head || code.is_empty() { Body::empty() } else { Body::from(told) };
    let mut response = Response::new(body);
    *response.status_mut() = status.try_into().unwrap();
    response
}
