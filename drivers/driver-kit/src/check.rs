//! What a request must satisfy before a driver sees it (README of the protocol, "Paths" and "Limits").

use std::time::Duration;

use storagedriver_proto::Path;
use storagedriver_proto::limits::{CHUNK_MAX, INLINE_MAX, PAGE_MAX};

use crate::error::{Error, ErrorKind, Result};

/// A path that List and Walk take.
pub(crate) fn any_path(text: &str) -> Result<Path> {
    Path::parse(text).map_err(|problem| path_invalid("this is not a path").with_source(problem))
}

/// A path that can have content.
pub(crate) fn content_path(text: &str) -> Result<Path> {
    let path = any_path(text)?;
    if path.is_root() { Err(path_invalid("only List and Walk take the path /")) } else { Ok(path) }
}

/// A path that may be left out.
pub(crate) fn optional_path(text: &str) -> Result<Option<Path>> {
    (!text.is_empty()).then(|| content_path(text)).transpose()
}

/// The name after which a listing goes on; empty when it starts at the first.
pub(crate) fn start_name(text: &str) -> Result<Option<&str>> {
    if text.is_empty() {
        return Ok(None);
    }
    match Path::root().join(text) {
        Ok(path) if path.name() == Some(text) => Ok(Some(text)),
        _ => Err(path_invalid("start_after is not the name of a path component")),
    }
}

/// The path after which a walk of `base` goes on.
pub(crate) fn start_path(text: &str, base: &Path) -> Result<Option<Path>> {
    let start = optional_path(text)?;
    match start {
        Some(start) if !start.is_below(base) => Err(request_invalid("start_after is not below the path to walk")),
        start => Ok(start),
    }
}

/// The version that content must have; any when there is none.
pub(crate) fn if_version(text: &str) -> Option<&str> {
    Some(text).filter(|version| !version.is_empty())
}

/// How many entries a page has.
pub(crate) fn page_limit(wanted: u32) -> usize {
    let wanted = usize::try_from(wanted).unwrap_or(PAGE_MAX);
    if wanted == 0 { PAGE_MAX } else { wanted.min(PAGE_MAX) }
}

/// The content of Put.
pub(crate) fn inline_size(size: usize) -> Result<()> {
    if size > INLINE_MAX {
        let message = format!("{size} bytes are too many for Put, which takes {INLINE_MAX}; use a write session");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok(())
}

/// The data of one message of a write stream.
pub(crate) fn chunk_size(size: usize) -> Result<()> {
    if size > CHUNK_MAX {
        return Err(request_invalid(format!("a message carries at most {CHUNK_MAX} bytes, not {size}")));
    }
    Ok(())
}

/// How long a URL is valid.
pub(crate) fn expiry(wanted: Option<impl TryInto<Duration>>) -> Result<Duration> {
    let wanted = wanted.and_then(|wanted| wanted.try_into().ok()).filter(|wanted| !wanted.is_zero());
    wanted.ok_or_else(|| request_invalid("expires_in is a time to come"))
}

pub(crate) fn request_invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::RequestInvalid, message)
}

fn path_invalid(message: &str) -> Error {
    Error::new(ErrorKind::PathInvalid, message)
}
