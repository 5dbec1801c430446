//! Manifests over HTTP: GET, HEAD, PUT and DELETE by tag or digest.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http_body::Body as _;
use http_body_util::BodyExt;
use oci::{ErrorCode, Reference, RepositoryName, Tag, etag};
use serde_json::json;
use tokio::time::timeout;

use crate::storage::{AcceptedManifest, NewManifest};

use super::error::HttpError;
use super::headers::{DOCKER_CONTENT_DIGEST, client_has_it, empty, header};
use super::query::Query;
use super::site::Site;
use super::{Answer, Request, Response};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// How long the body of a manifest may take: the largest, over a slow line.
const BODY_TIME: Duration = Duration::from_secs(60);
/// What is set aside for a body before any of it is there, and what of one is given out at once.
const BUFFER_MAX: usize = 64 << 10;

/// The most tags that one push may set.
const TAGS_MAX: usize = 100;

/// GET and HEAD.
///
/// What was pushed is served whatever `Accept` says: turning it into something else would change its digest, and to
/// refuse it would keep clients from content that they are able to read.
pub(super) async fn get(site: &Site, name: RepositoryName, reference: Reference, request: Request) -> Answer {
    let stored = site.registry.manifests().get(&name, &reference).await?;
    let mut response = if client_has_it(&request, &stored.digest)? {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static(stored.media_type)),
            (CONTENT_LENGTH, HeaderValue::from(stored.content.len())),
        ];
        let mut response = Response::new(body(stored.content));
        response.headers_mut().extend(HeaderMap::from_iter(headers));
        response
    };
    let headers = [(DOCKER_CONTENT_DIGEST, header(&stored.digest)), (ETAG, header(etag::of(&stored.digest)))];
    response.headers_mut().extend(HeaderMap::from_iter(headers));
    Ok(response)
}

/// A large one is given out in copies of its parts: what waits for a slow client must not keep the room of the whole.
fn body(content: Bytes) -> Body {
    if content.len() <= BUFFER_MAX {
        return Body::from(content);
    }
    let parts = stream::unfold(content, |mut rest| async move {
        let part = rest.split_to(rest.len().min(BUFFER_MAX));
        (!part.is_empty()).then(|| (Ok::<_, Infallible>(Bytes::copy_from_slice(&part)), rest))
    });
    Body::from_stream(parts)
}

pub(super) async fn put(site: &Site, name: RepositoryName, reference: Reference, request: Request) -> Answer {
    let query = Query::of(&request);
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let content = receive(site, request.into_body()).await?;
    let named = tag_parameters(&reference, &query)?;
    let (digest, tags) = match reference {
        Reference::Digest(digest) => (Some(digest), named.clone()),
        Reference::Tag(tag) => (None, vec![tag]),
    };
    let new = NewManifest { content, content_type, digest, tags };
    let accepted = site.registry.manifests().put(&name, new).await?;
    Ok(created(site, &name, &accepted, &named))
}

pub(super) async fn delete(site: &Site, name: RepositoryName, reference: Reference) -> Answer {
    site.registry.manifests().delete(&name, &reference).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

fn created(site: &Site, name: &RepositoryName, accepted: &AcceptedManifest, named: &[Tag]) -> Response {
    let mut response = empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(LOCATION, header(site.location(&format!("/v2/{name}/manifests/{}", accepted.digest))));
    headers.insert(DOCKER_CONTENT_DIGEST, header(&accepted.digest));
    if let Some(subject) = &accepted.subject {
        headers.insert(OCI_SUBJECT, header(subject));
    }
    for tag in named {
        headers.append(OCI_TAG, header(tag));
    }
    response
}

/// The tags in the query of a push by digest, each once.
fn tag_parameters(reference: &Reference, query: &Query) -> Result<Vec<Tag>, HttpError> {
    let mut tags = Vec::new();
    for text in query.all("tag") {
        let tag = Tag::parse(text).map_err(|problem| tag_invalid(text, &problem.to_string()))?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > TAGS_MAX {
            let message = format!("one push sets at most {TAGS_MAX} tags");
            return Err(HttpError::new(ErrorCode::TagInvalid, message).with_status(StatusCode::URI_TOO_LONG));
        }
    }
    match (reference, tags.first()) {
        (Reference::Tag(tag), Some(_)) => {
            Err(tag_invalid(tag.as_str(), "the parameter tag goes with a push by digest, and this one is by tag"))
        }
        _ => Ok(tags),
    }
}

fn tag_invalid(text: &str, message: &str) -> HttpError {
    HttpError::new(ErrorCode::TagInvalid, message).with_detail(json!({ "tag": text }))
}

/// The whole body, once there is room for it. Whoever has room and sends slowly takes it from others, so time is limited.
async fn receive(site: &Site, body: Body) -> Result<Bytes, HttpError> {
    let manifests = site.registry.manifests();
    let limit = manifests.bytes_max();
    let announced = body.size_hint().upper().map_or(limit, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced > limit {
        return Err(too_large(limit));
    }
    let place = manifests.room(announced).await?;
    let content = timeout(BODY_TIME, read(body, announced, limit)).await.map_err(|_| too_slow())??;
    Ok(place.hold(content))
}

/// No more than `limit` bytes are ever held.
async fn read(mut body: Body, announced: usize, limit: usize) -> Result<Bytes, HttpError> {
    let mut content = BytesMut::with_capacity(announced.min(BUFFER_MAX));
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(broken)?.into_data().unwrap_or_default();
        if data.len() > limit - content.len() {
            return Err(too_large(limit));
        }
        content.extend_from_slice(&data);
    }
    Ok(content.freeze())
}

fn too_slow() -> HttpError {
    let message = format!("the manifest did not come within {} seconds", BODY_TIME.as_secs());
    HttpError::new(ErrorCode::SizeInvalid, message).with_status(StatusCode::REQUEST_TIMEOUT)
}

fn broken(error: axum::Error) -> HttpError {
    HttpError::new(ErrorCode::SizeInvalid, "the body ended before it was complete").with_source(error)
}

fn too_large(limit: usize) -> HttpError {
    HttpError::new(ErrorCode::ManifestInvalid, format!("a manifest is at most {limit} bytes long here"))
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
}
