//! The part of a blob that a request asks for, as a response: all of it, one range, or several in one message.
//!
//! Content passes through piece by piece, however many ranges there are.

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use http::{Method, StatusCode};
use oci::range::{Ranges, parse_ranges};
use oci::{Digest, ErrorCode, etag};

use super::error::HttpError;
use super::file_body::{FileBody, Files};
use super::headers::header;
use super::{Answer, Request, Response};
use crate::storage::{Blob, BlobStore, Held, StorageError};

type Range = std::ops::RangeInclusive<u64>;

pub(super) const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What `request` wants of a blob of `size` bytes. A range means something in a GET only, and only of the version that the
/// client has parts of.
pub(super) fn wanted(request: &Request, digest: &Digest, size: u64) -> Ranges {
    let text = |name| request.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    match text(RANGE) {
        Some(range)
            if request.method() == Method::GET && text(IF_RANGE).is_none_or(|tag| etag::permits_range(tag, digest)) =>
        {
            parse_ranges(range, size)
        }
        _ => Ranges::Whole,
    }
}

/// The response that has these ranges of a blob as its body.
///
/// `files` are of its connection, when that can send files.
pub(super) async fn respond(blobs: &BlobStore, blob: Blob, ranges: Ranges, files: Option<&Files>) -> Answer {
    match ranges {
        Ranges::Whole => whole(blobs, &blob, files).await,
        Ranges::Unsatisfiable => Err(unsatisfiable(blob.size)),
        Ranges::Satisfiable(ranges) => match <[Range; 1]>::try_from(ranges) {
            Ok([range]) => part(blobs, &blob, range, files).await,
            Err(ranges) => Ok(parts(blobs.clone(), blob, ranges)),
        },
    }
}

async fn whole(blobs: &BlobStore, blob: &Blob, files: Option<&Files>) -> Answer {
    let content = content(blobs, blob, 0, blob.size, files).await?;
    Ok(response(StatusCode::OK, OCTET_STREAM, blob.size, content))
}

async fn part(blobs: &BlobStore, blob: &Blob, range: Range, files: Option<&Files>) -> Answer {
    let length = length(&range);
    let content = content(blobs, blob, *range.start(), length, files).await?;
    let mut response = response(StatusCode::PARTIAL_CONTENT, OCTET_STREAM, length, content);
    response.headers_mut().insert(CONTENT_RANGE, header(content_range(&range, blob.size)));
    Ok(response)
}

/// Bytes of a blob: straight from its file where there is one and the connection can send it.
async fn content(
    blobs: &BlobStore,
    blob: &Blob,
    offset: u64,
    length: u64,
    files: Option<&Files>,
) -> Result<Body, StorageError> {
    match (&blob.held, files) {
        (Held::Memory(bytes), _) if length == blob.size => Ok(Body::from(bytes.clone())),
        (Held::File(file), Some(files)) => Ok(Body::new(FileBody::new(files.clone(), file.clone(), offset, length))),
        _ => Ok(Body::from_stream(blobs.open(blob, offset, length).await?)),
    }
}

/// A `multipart/byteranges` message; each part is opened when its turn comes.
fn parts(blobs: BlobStore, blob: Blob, ranges: Vec<Range>) -> Response {
    let boundary = format!("{:032x}", rand::random::<u128>());
    let parts: Vec<(Range, Bytes)> =
        ranges.into_iter().map(|range| (range.clone(), part_head(&boundary, &range, blob.size))).collect();
    let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
    let total = parts.iter().map(|(range, head)| head.len() as u64 + length(range)).sum::<u64>() + end.len() as u64;
    let content = stream::iter(parts).then(move |(range, head)| {
        let (blobs, blob) = (blobs.clone(), blob.clone());
        async move {
            let content = blobs.open(&blob, *range.start(), length(&range)).await?;
            Ok::<_, StorageError>(once(head).chain(content))
        }
    });
    let content = content.try_flatten().chain(once(end)).boxed();
    let kind = header(format!("multipart/byteranges; boundary={boundary}"));
    response(StatusCode::PARTIAL_CONTENT, kind, total, Body::from_stream(content))
}

/// The line break before the first boundary is a preamble, which readers pass over.
fn part_head(boundary: &str, range: &Range, size: u64) -> Bytes {
    let content_range = content_range(range, size);
    Bytes::from(format!(
        "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {content_range}\r\n\r\n"
    ))
}

fn once(bytes: Bytes) -> impl stream::Stream<Item = Result<Bytes, StorageError>> {
    stream::once(async move { Ok(bytes) })
}

fn unsatisfiable(size: u64) -> HttpError {
    HttpError::new(ErrorCode::RangeInvalid, format!("the blob has {size} bytes, and none of them in the range"))
        .with_header(CONTENT_RANGE, header(format!("bytes */{size}")))
}

fn response(status: StatusCode, content_type: HeaderValue, length: u64, content: Body) -> Response {
    let mut response = Response::new(content);
    *response.status_mut() = status;
    response
        .headers_mut()
        .extend(HeaderMap::from_iter([(CONTENT_TYPE, content_type), (CONTENT_LENGTH, length.into())]));
    response
}

fn content_range(range: &Range, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start(), range.end())
}

fn length(range: &Range) -> u64 {
    range.end() - range.start() + 1
}
