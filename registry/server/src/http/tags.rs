//! The tag list of a repository over HTTP.

use oci::{ErrorCode, RepositoryName};

use super::error::HttpError;
use super::site::Site;
use super::{Answer, Request};

pub(super) async fn list(_site: &Site, _name: RepositoryName, _request: Request) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}
