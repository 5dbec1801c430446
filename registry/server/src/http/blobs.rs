//! Blobs over HTTP: GET, HEAD and DELETE.
//!
//! The digest in every answer is the one that was asked for.

use std::net::IpAddr;

use axum::body::Body;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, LOCATION,
};
use http::{Method, StatusCode};
use oci::{Digest, RepositoryName, etag};

use super::error::HttpError;
use super::headers::{DOCKER_CONTENT_DIGEST, client_has_it, empty, header};
use super::site::{Site, client_address};
use super::{Answer, Request, Response, ranges};
use crate::storage::{Blob, RedirectMethod};

/// What a digest names never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("max-age=31536000, immutable");

/// GET and HEAD.
pub(super) async fn get(site: &Site, name: RepositoryName, digest: Digest, request: Request) -> Answer {
    let blobs = site.registry.blobs();
    let blob = blobs.stat(&name, &digest).await?;
    let mut response = if client_has_it(&request, &digest)? {
        empty(StatusCode::NOT_MODIFIED)
    } else if let Some(url) = redirect(site, &blob, request.method(), client_address(&request)).await? {
        return redirected(&digest, &url);
    } else if request.method() == Method::HEAD {
        head(blob.size)
    } else {
        let wanted = ranges::wanted(&request, &digest, blob.size);
        ranges::respond(blobs, blob, wanted, request.extensions().get()).await?
    };
    response.headers_mut().extend(headers_of(&digest));
    Ok(response)
}

pub(super) async fn delete(site: &Site, name: RepositoryName, digest: Digest) -> Answer {
    site.registry.blobs().unlink(&name, &digest).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

/// Where the client can fetch the blob from the back end itself, when operator and driver let it.
async fn redirect(
    site: &Site,
    blob: &Blob,
    method: &Method,
    client: Option<IpAddr>,
) -> Result<Option<String>, HttpError> {
    if !site.settings.redirects {
        return Ok(None);
    }
    let method = if method == Method::HEAD { RedirectMethod::Head } else { RedirectMethod::Get };
    Ok(site.registry.blobs().redirect(blob, method, client).await?)
}

fn redirected(digest: &Digest, url: &str) -> Answer {
    let location = HeaderValue::from_str(url).map_err(HttpError::internal)?;
    let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
    let headers = [(LOCATION, location), (DOCKER_CONTENT_DIGEST, header(digest))];
    response.headers_mut().extend(HeaderMap::from_iter(headers));
    Ok(response)
}

/// What a GET would answer, without reading any content.
fn head(size: u64) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = [(CONTENT_LENGTH, size.into()), (CONTENT_TYPE, ranges::OCTET_STREAM)];
    response.headers_mut().extend(HeaderMap::from_iter(headers));
    response
}

fn headers_of(digest: &Digest) -> HeaderMap {
    HeaderMap::from_iter([
        (DOCKER_CONTENT_DIGEST, header(digest)),
        (ETAG, header(etag::of(digest))),
        (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (CACHE_CONTROL, FOR_EVER),
    ])
}
