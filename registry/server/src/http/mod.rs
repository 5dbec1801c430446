//! The HTTP API: requests in, responses out. The only place that knows the web framework.
//!
//! It must not know a path of the store nor a driver.

mod blobs;
mod catalog;
mod dispatch;
mod edge;
mod error;
mod fetched;
mod file_body;
mod headers;
mod health;
mod listener;
mod manifests;
mod paging;
mod query;
mod ranges;
mod referrers;
mod request_body;
mod request_log;
mod route;
mod sendfile;
mod server;
mod site;
mod tags;
mod uploads;

pub(crate) use listener::{Address, BindError};
pub(crate) use server::{Limits, Server};
pub(crate) use site::{Readiness, Settings, Site};

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderValue};

use error::HttpError;

type Request = axum::extract::Request;
type Response = axum::response::Response;

/// What every handler gives: a response, or the error that becomes one at the edge.
type Answer = Result<Response, HttpError>;

/// 200 with a JSON body.
fn json_response(value: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
