//! The endpoints that tell about the registry itself.

use axum::body::Body;
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use serde_json::json;

use super::site::{Readiness, Site};
use super::{Response, json_response};

/// `/` and `/livez`: the process works, whatever the driver does.
pub(super) fn alive() -> Response {
    Response::new(Body::empty())
}

/// `/v2/`: the API is spoken here.
pub(super) fn base() -> Response {
    json_response(&json!({}))
}

/// `/readyz`: whether the store can be used now.
pub(super) fn ready(site: &Site) -> Response {
    let Readiness { ready, reason, driver_restarts, driver_pid } = (site.readiness)();
    let driver = json!({ "pid": driver_pid, "restarts": driver_restarts });
    let mut response = json_response(&json!({ "ready": ready, "reason": reason, "driver": driver }));
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}
