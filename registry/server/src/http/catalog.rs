//! The list of repositories over HTTP.

use oci::ErrorCode;

use super::error::HttpError;
use super::site::Site;
use super::{Answer, Request};

pub(super) async fn list(_site: &Site, _request: Request) -> Answer {
    Err(HttpError::new(ErrorCode::Unsupported, "not yet"))
}
