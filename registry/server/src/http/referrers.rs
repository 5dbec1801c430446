//! The manifests that refer to another one, over HTTP.

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use oci::referrers::ReferrersIndex;
use oci::{Digest, ErrorCode, RepositoryName, media_type};

use crate::storage::{ReferrersPage, ReferrersRequest};

use super::error::HttpError;
use super::paging::Paging;
use super::query::Query;
use super::site::Site;
use super::{Answer, Request, Response};

const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
const ARTIFACT_TYPE: &str = "artifactType";

const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// A subject that nothing refers to, or that is not there, has an empty list; 404 would mean that there is no such API.
pub(super) async fn list(site: &Site, name: RepositoryName, subject: Digest, request: Request) -> Answer {
    let paging = Paging::of(&request, PAGE, PAGE_MAX)?;
    let after = paging.last(ErrorCode::DigestInvalid, Digest::parse)?;
    let artifact_type = Query::of(&request).get(ARTIFACT_TYPE).filter(|text| !text.is_empty()).map(str::to_owned);
    let wanted = ReferrersRequest { subject, artifact_type, after, limit: paging.limit };
    let page = match paging.limit {
        0 => ReferrersPage::default(),
        _ => site.registry.referrers().list(&name, &wanted).await?,
    };
    let mut response = index(&page)?;
    let filter = wanted.artifact_type.as_deref();
    if filter.is_some() {
        response.headers_mut().insert(OCI_FILTERS_APPLIED, HeaderValue::from_static(ARTIFACT_TYPE));
    }
    if let Some(next_after) = &page.next_after {
        let path = format!("/v2/{name}/referrers/{}", wanted.subject);
        let filter: Vec<(&str, &str)> = filter.map(|filter| (ARTIFACT_TYPE, filter)).into_iter().collect();
        paging.link(&mut response, site, &path, next_after.as_str(), &filter);
    }
    Ok(response)
}

fn index(page: &ReferrersPage) -> Result<Response, HttpError> {
    let body = serde_json::to_vec(&ReferrersIndex::new(&page.descriptors)).map_err(HttpError::internal)?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type::OCI_IMAGE_INDEX));
    Ok(response)
}
