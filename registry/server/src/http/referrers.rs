//! The manifests that refer to another one, over HTTP.

use oci::{Digest, ErrorCode, RepositoryName};

use super::error::HttpError;
use super::site::Site;
use super::{Answer, Request};

pub(super) async fn list(_site: &Site, _name: RepositoryName, _subject: Digest, _request: Request) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}
