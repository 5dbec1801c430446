//! What happens to every request, whatever it asks: an identifier, the headers that all responses have, one log line,
//! and a panic that stays a failed request.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use uuid::Uuid;

use super::dispatch::dispatch;
use super::error::HttpError;
use super::request_log::Entry;
use super::route::Route;
use super::site::Site;
use super::{Answer, Request, Response};
use crate::task::to_its_end;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_MAX: usize = 64;

/// Answers one request; there is nothing that it does not answer.
pub(super) async fn answer(site: Arc<Site>, request: Request) -> Response {
    let id = request_id(request.headers());
    let mut entry = Entry::begin(&request, id.clone());
    let answer = match Route::parse(request.uri().path()) {
        Ok(route) => {
            entry.set_route(&route);
            if request.method().is_safe() {
                without_panic(dispatch(&site, route, request)).await
            } else {
                // Carried to its end also when the client goes away: others would see what was done half, such as a tag that
                // was moved aside to be looked at.
                let site = Arc::clone(&site);
                without_panic(to_its_end(async move { dispatch(&site, route, request).await })).await
            }
        }
        Err(error) => Err(error),
    };
    let mut response = answer.unwrap_or_else(|error| {
        entry.set_failure(&error);
        error.to_response()
    });
    stamp(response.headers_mut(), &site.settings.headers, &id);
    entry.attach(response)
}

async fn without_panic(answer: impl Future<Output = Answer>) -> Answer {
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|panic| Err(HttpError::internal(text_of(&*panic))))
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_default())
}

/// The identifier that a proxy in front gave, so that its log and ours can be read together, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let harmless = |id: &&str| id.len() <= REQUEST_ID_MAX && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match given.filter(harmless).filter(|id| !id.is_empty()) {
        Some(id) => id.to_owned(),
        None => Uuid::now_v7().to_string(),
    }
}

fn stamp(headers: &mut HeaderMap, everywhere: &HeaderMap, id: &str) {
    headers.extend(everywhere.clone());
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failed_request_that_tells_the_client_nothing() {
        let error = without_panic(async { panic!("a secret") }).await.unwrap_err();
        assert_eq!(error.to_response().status(), 500);
        assert!(!error.to_string().contains("a secret"));
        assert_eq!(error.source().unwrap().to_string(), "panicked: a secret");
    }
}
