//! The tag list of a repository over HTTP.

use oci::{ErrorCode, RepositoryName, Tag};
use serde_json::json;

use crate::storage::{Page, StorageError};

use super::error::HttpError;
use super::paging::Paging;
use super::site::Site;
use super::{Answer, Request, json_response};

/// Without `n` a client gets the largest page there is, since many expect all tags at once; the rest follows by `Link`.
pub(super) async fn list(site: &Site, name: RepositoryName, request: Request) -> Answer {
    let maximum = site.settings.tags_page_max;
    let paging = Paging::of(&request, maximum, maximum)?;
    let last = paging.last(ErrorCode::TagInvalid, Tag::parse)?;
    let page = page(site, &name, last.as_ref(), paging.limit).await?;
    let mut response = json_response(&json!({ "name": name, "tags": page.items }));
    if let Some(last) = page.items.last().filter(|_| page.more) {
        paging.link(&mut response, site, &format!("/v2/{name}/tags/list"), last.as_str(), &[]);
    }
    Ok(response)
}

/// A repository without tags is told from none at all only when there is nothing to list.
async fn page(site: &Site, name: &RepositoryName, last: Option<&Tag>, limit: usize) -> Result<Page<Tag>, HttpError> {
    let page = match limit {
        0 => Page { items: Vec::new(), more: false },
        _ => site.registry.tags().list(name, last, limit).await?,
    };
    if page.items.is_empty() && !site.registry.catalog().contains(name).await? {
        return Err(StorageError::NameUnknown(name.clone()).into());
    }
    Ok(page)
}
