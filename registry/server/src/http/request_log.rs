//! One log line for every request, written when its response has been sent or given up.
//!
//! This is where the chain of causes of a failed request is logged, and nowhere else.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Frame, SizeHint};

use super::error::HttpError;
use super::route::Route;
use super::{Request, Response};

/// What is known about a request so far. Dropping it writes the line.
pub(super) struct Entry {
    id: String,
    method: Method,
    route: &'static str,
    /// Asked every few seconds by whoever watches the registry.
    probe: bool,
    repository: Option<String>,
    subject: Option<String>,
    status: StatusCode,
    cause: Option<String>,
    bytes: u64,
    begun: Instant,
}

/// What nginx made customary for a client that went away before there was a status.
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl Entry {
    pub(super) fn begin(request: &Request, id: String) -> Self {
        Entry {
            id,
            method: request.method().clone(),
            route: "unknown",
            probe: false,
            repository: None,
            subject: None,
            status: StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or_default(),
            cause: None,
            bytes: 0,
            begun: Instant::now(),
        }
    }

    pub(super) fn set_route(&mut self, route: &Route) {
        let (repository, subject) = route.subject();
        self.route = route.kind();
        self.probe = matches!(route, Route::Root | Route::Livez | Route::Readyz);
        self.repository = repository.map(ToString::to_string);
        self.subject = subject.map(ToOwned::to_owned);
    }

    pub(super) fn set_failure(&mut self, error: &HttpError) {
        self.cause = Some(chain(error));
    }

    /// Hands the entry to the body of `response`, which lives until the response is sent.
    pub(super) fn attach(mut self, response: Response) -> Response {
        self.status = response.status();
        response.map(|body| Body::new(Logged { body, entry: self }))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let microseconds = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    method = %self.method, route = self.route, repository = self.repository, subject = self.subject,
                    status = self.status.as_u16(), bytes = self.bytes, microseconds, request = self.id,
                    cause = self.cause, "request"
                )
            };
        }
        match self.status.as_u16() {
            ..400 if self.probe => line!(debug),
            ..500 => line!(info),
            503 | 507 => line!(warn),
            _ => line!(error),
        }
    }
}

/// The texts of an error and of everything behind it.
fn chain(error: &HttpError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// A response body that counts what passes.
struct Logged {
    body: Body,
    entry: Entry,
}

impl http_body::Body for Logged {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.entry.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Poll::Ready(Some(Err(problem))) => self.entry.cause = Some(format!("the response broke off: {problem}")),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
