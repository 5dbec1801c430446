//! Uploads over HTTP: start, mount, chunks, status, close and cancel.

use oci::{ErrorCode, RepositoryName, UploadId};

use super::error::HttpError;
use super::site::Site;
use super::{Answer, Request};

pub(super) async fn post(_site: &Site, _name: RepositoryName, _request: Request) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}

/// GET and HEAD.
pub(super) async fn status(_site: &Site, _name: RepositoryName, _id: UploadId) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}

pub(super) async fn patch(_site: &Site, _name: RepositoryName, _id: UploadId, _request: Request) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}

pub(super) async fn put(_site: &Site, _name: RepositoryName, _id: UploadId, _request: Request) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}

pub(super) async fn cancel(_site: &Site, _name: RepositoryName, _id: UploadId) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}
