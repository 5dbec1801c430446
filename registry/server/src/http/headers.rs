//! Header names and values that several resources have. It knows no resource.

use std::fmt::Display;

use axum::body::Body;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, IF_NONE_MATCH};
use oci::{Digest, etag};

use super::{Request, Response};

pub(super) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A header value of names, digests and numbers, none of which has a character that a header cannot have.
pub(super) fn header(value: impl Display) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(value.to_string())).unwrap_or(HeaderValue::from_static(""))
}

/// A response without a body. 204 and 304 have no length either.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        response.headers_mut().insert(CONTENT_LENGTH, 0.into());
    }
    response
}

/// Whether the client says that it has this content already.
pub(super) fn client_has_it(request: &Request, digest: &Digest) -> bool {
    let mut lists = request.headers().get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists.any(|tags| etag::lists(tags, digest))
}
