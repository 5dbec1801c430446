//! The list of repositories over HTTP.

use oci::{ErrorCode, RepositoryName};
use serde_json::json;

use crate::storage::Page;

use super::paging::Paging;
use super::site::Site;
use super::{Answer, Request, json_response};

/// How many repositories a page has when the client does not say, as in distribution.
const PAGE: usize = 100;

pub(super) async fn list(site: &Site, request: Request) -> Answer {
    let maximum = site.settings.catalog_page_max;
    let paging = Paging::of(&request, PAGE.min(maximum), maximum)?;
    let last = paging.last(ErrorCode::NameInvalid, RepositoryName::parse)?;
    let page = match paging.limit {
        0 => Page { items: Vec::new(), more: false },
        limit => site.registry.catalog().list(last.as_ref(), limit).await?,
    };
    let mut response = json_response(&json!({ "repositories": page.items }));
    if let Some(last) = page.items.last().filter(|_| page.more) {
        paging.link(&mut response, site, "/v2/_catalog", last.as_str(), &[]);
    }
    Ok(response)
}
