//! Header names and values that several resources have. It knows no resource.

use std::fmt::Display;

use axum::body::Body;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use oci::{Digest, ErrorCode, etag};

use super::error::HttpError;
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

/// Whether the client says that it has this content already. It is refused when it wanted other content only.
pub(super) fn client_has_it(request: &Request, digest: &Digest) -> Result<bool, HttpError> {
    if request.headers().contains_key(IF_MATCH) && !any_list(request, &IF_MATCH, |tags| etag::matches(tags, digest)) {
        let refusal = HttpError::new(ErrorCode::Unsupported, "the content is not what If-Match asks for");
        return Err(refusal.with_status(StatusCode::PRECONDITION_FAILED).with_header(ETAG, header(etag::of(digest))));
    }
    Ok(any_list(request, &IF_NONE_MATCH, |tags| etag::lists(tags, digest)))
}

fn any_list(request: &Request, name: &HeaderName, holds: impl Fn(&str) -> bool) -> bool {
    request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok()).any(holds)
}
