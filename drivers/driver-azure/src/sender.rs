//! [`Sender`]: what puts requests on the wire. Its failures never tell a URL, whose query may let in whoever reads it.

use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use driver_kit::{Error, ErrorKind, Result};

const CONNECT: Duration = Duration::from_secs(5);
/// Idle connections that are kept for the next requests, and for how long: a burst of calls must not leave descriptors behind,
/// and a connection that the server closes for being idle meets no request.
const IDLE_CONNECTIONS: usize = 64;
const IDLE: Duration = Duration::from_secs(4);

/// Sends requests over connections that it keeps for a while.
#[derive(Debug)]
pub(crate) struct Sender(reqwest::Client);

impl Sender {
    pub(crate) fn new() -> Result<Self> {
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .http1_only();
        let unusable =
            "certificates or proxies of the environment cannot be used: look at SSL_CERT_FILE and HTTPS_PROXY";
        let client = builder.build();
        client.map(Sender).map_err(|problem| Error::new(ErrorKind::ConfigInvalid, unusable).with_source(problem))
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.0.execute_request(request).await.map_err(without_url)
    }
}

fn without_url(failure: azure_core::Error) -> azure_core::Error {
    let kind = match failure.kind() {
        azure_core::error::ErrorKind::Connection => azure_core::error::ErrorKind::Connection,
        azure_core::error::ErrorKind::Io => azure_core::error::ErrorKind::Io,
        _ => azure_core::error::ErrorKind::Other,
    };
    match failure.into_downcast::<reqwest::Error>() {
        Ok(problem) => azure_core::Error::with_error(kind, problem.without_url(), "the request was not answered"),
        Err(failure) => failure,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as StdError;

    use azure_core::http::{Method, Url};

    use super::*;

    #[tokio::test]
    async fn a_failure_tells_no_query() {
        let url = Url::parse("http://127.0.0.1:9/a?sig=secret").unwrap();
        let failure = Sender::new().unwrap().execute_request(&Request::new(url, Method::Get)).await.err().unwrap();
        assert!(matches!(failure.kind(), azure_core::error::ErrorKind::Connection));
        let first: &(dyn StdError + 'static) = &failure;
        let causes = std::iter::successors(Some(first), |&cause| cause.source());
        let told: Vec<String> = causes.map(|cause| format!("{cause} {cause:?}")).collect();
        assert!(told.len() > 1 && !told.concat().contains("secret"), "{told:?}");
    }
}
