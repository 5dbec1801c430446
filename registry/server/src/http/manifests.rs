//! Manifests over HTTP: GET, HEAD, PUT and DELETE by tag or digest.

use oci::{ErrorCode, Reference, RepositoryName};

use super::error::HttpError;
use super::site::Site;
use super::{Answer, Request};

/// GET and HEAD.
pub(super) async fn get(_site: &Site, _name: RepositoryName, _reference: Reference, _request: Request) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}

pub(super) async fn put(_site: &Site, _name: RepositoryName, _reference: Reference, _request: Request) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}

pub(super) async fn delete(_site: &Site, _name: RepositoryName, _reference: Reference) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}
