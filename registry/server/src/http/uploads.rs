//! Uploads over HTTP: start, mount, chunks, status, close and cancel.

use axum::body::HttpBody;
use futures::{StreamExt, TryStreamExt};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderName, LOCATION, RANGE};
use oci::range::{ContentRange, parse_content_range};
use oci::{Algorithm, Digest, ErrorCode, RepositoryName, UploadId};
use serde_json::json;

use super::dispatch::digest;
use super::error::HttpError;
use super::headers::{DOCKER_CONTENT_DIGEST, empty, header};
use super::query::Query;
use super::site::Site;
use super::{Answer, Request, Response};
use crate::storage::{BodyError, Incoming, StorageError, Upload};

const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
const OCI_CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// Mounts a blob, stores one that comes with its digest, or begins an upload.
pub(super) async fn post(site: &Site, name: RepositoryName, request: Request) -> Answer {
    let query = Query::of(&request);
    let mount = query.get("mount").map(digest).transpose()?;
    if let Some(digest) = &mount
        && site.registry.blobs().mount(source(&query)?.as_ref(), &name, digest).await?
    {
        return Ok(created(site, &name, digest));
    }
    if let Some(text) = query.get("digest").filter(|_| mount.is_none()) {
        return push(site, &name, &digest(text)?, request).await;
    }
    let algorithm = match mount {
        Some(digest) => digest.algorithm(),
        None => announced_algorithm(&query)?,
    };
    let upload = site.registry.uploads().create(&name, algorithm).await?;
    let mut response = located(site, &upload, StatusCode::ACCEPTED, 0);
    if let Some(size) = site.registry.uploads().chunk_min() {
        response.headers_mut().insert(OCI_CHUNK_MIN_LENGTH, size.into());
    }
    Ok(response)
}

async fn push(site: &Site, name: &RepositoryName, digest: &Digest, request: Request) -> Answer {
    site.registry.uploads().push(name, digest, incoming(request)?).await?;
    Ok(created(site, name, digest))
}

/// GET and HEAD.
pub(super) async fn status(site: &Site, name: RepositoryName, id: UploadId) -> Answer {
    let upload = Upload { repository: name, id };
    let offset = site.registry.uploads().status(&upload).await?;
    Ok(located(site, &upload, StatusCode::NO_CONTENT, offset))
}

pub(super) async fn patch(site: &Site, name: RepositoryName, id: UploadId, request: Request) -> Answer {
    let upload = Upload { repository: name, id };
    let appended = site.registry.uploads().append(&upload, incoming(request)?).await;
    let offset = appended.map_err(|error| refused(site, &upload, error))?;
    Ok(located(site, &upload, StatusCode::ACCEPTED, offset))
}

pub(super) async fn put(site: &Site, name: RepositoryName, id: UploadId, request: Request) -> Answer {
    let missing =
        || HttpError::new(ErrorCode::DigestInvalid, "the closing request needs '?digest=', the digest of the blob");
    let digest = digest(Query::of(&request).get("digest").ok_or_else(missing)?)?;
    let upload = Upload { repository: name, id };
    let brings_bytes = !request.body().is_end_stream() || request.headers().contains_key(CONTENT_RANGE);
    let last = brings_bytes.then(|| incoming(request)).transpose()?;
    let completed = site.registry.uploads().complete(&upload, &digest, last).await;
    completed.map_err(|error| refused(site, &upload, error))?;
    Ok(created(site, &upload.repository, &digest))
}

pub(super) async fn cancel(site: &Site, name: RepositoryName, id: UploadId) -> Answer {
    site.registry.uploads().cancel(&Upload { repository: name, id }).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// The repository to mount from, when the client knows one.
fn source(query: &Query) -> Result<Option<RepositoryName>, HttpError> {
    let invalid = |text: &str, problem: oci::InvalidRepositoryName| {
        HttpError::new(ErrorCode::NameInvalid, problem.to_string()).with_detail(json!({ "from": text }))
    };
    let parse = |text| RepositoryName::parse(text).map_err(|problem| invalid(text, problem));
    query.get("from").filter(|text| !text.is_empty()).map(parse).transpose()
}

fn announced_algorithm(query: &Query) -> Result<Algorithm, HttpError> {
    let Some(text) = query.get("digest-algorithm") else { return Ok(Algorithm::Sha256) };
    let unsupported = || {
        HttpError::new(ErrorCode::DigestInvalid, "the digest algorithm is not supported: use sha256 or sha512")
            .with_detail(json!({ "digest-algorithm": text }))
    };
    Algorithm::parse(text).ok_or_else(unsupported)
}

/// The body of a request and what its headers say about it.
fn incoming(request: Request) -> Result<Incoming, HttpError> {
    let range = content_range(request.headers())?;
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if let (Some(range), Some(length)) = (range, length)
        && range.length() != length
    {
        let lie = format!("Content-Range tells of {} bytes, Content-Length of {length}", range.length());
        return Err(HttpError::new(ErrorCode::SizeInvalid, lie));
    }
    let length = length.or(range.map(ContentRange::length));
    let pieces = request.into_body().into_data_stream().map_err(BodyError::from);
    Ok(Incoming::new(pieces.boxed(), range.map(|range| range.first), length))
}

fn content_range(headers: &HeaderMap) -> Result<Option<ContentRange>, HttpError> {
    let Some(value) = headers.get(CONTENT_RANGE) else { return Ok(None) };
    let range = parse_content_range(value.to_str().unwrap_or_default());
    range.map(Some).map_err(|problem| HttpError::new(ErrorCode::RangeInvalid, problem.to_string()))
}

/// An answer about an upload that can be continued.
fn located(site: &Site, upload: &Upload, status: StatusCode, offset: u64) -> Response {
    let mut response = empty(status);
    response.headers_mut().extend(HeaderMap::from_iter([
        (LOCATION, location(site, upload)),
        (RANGE, received(offset)),
        (DOCKER_UPLOAD_UUID, header(upload.id)),
    ]));
    response
}

/// Who can go on with an upload is told where, and from which byte when that is known: one that another request writes
/// changes while it is told.
fn refused(site: &Site, upload: &Upload, error: StorageError) -> HttpError {
    let offset = match error {
        StorageError::RangeInvalid { offset, .. } => Some(offset),
        StorageError::UploadConflict(_) => None,
        error => return error.into(),
    };
    let refusal = HttpError::from(error)
        .with_header(LOCATION, location(site, upload))
        .with_header(DOCKER_UPLOAD_UUID, header(upload.id));
    offset.into_iter().fold(refusal, |refusal, offset| refusal.with_header(RANGE, received(offset)))
}

fn created(site: &Site, name: &RepositoryName, digest: &Digest) -> Response {
    let mut response = empty(StatusCode::CREATED);
    let location = header(site.location(&format!("/v2/{name}/blobs/{digest}")));
    response
        .headers_mut()
        .extend(HeaderMap::from_iter([(LOCATION, location), (DOCKER_CONTENT_DIGEST, header(digest))]));
    response
}

fn location(site: &Site, upload: &Upload) -> http::HeaderValue {
    header(site.location(&format!("/v2/{}/blobs/uploads/{}", upload.repository, upload.id)))
}

/// The header has no word for no bytes; by custom it is the same as for one.
fn received(offset: u64) -> http::HeaderValue {
    header(format!("0-{}", offset.saturating_sub(1)))
}
