//! Blobs over HTTP: GET, HEAD and DELETE.

use oci::{Digest, ErrorCode, RepositoryName};

use super::error::HttpError;
use super::site::Site;
use super::{Answer, Request};

/// GET and HEAD.
pub(super) async fn get(_site: &Site, _name: RepositoryName, _digest: Digest, _request: Request) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}

pub(super) async fn delete(_site: &Site, _name: RepositoryName, _digest: Digest) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}
