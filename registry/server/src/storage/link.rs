//! Links: small files that hold a digest and nothing else. Every fact that a store keeps beside its content is one.
//!
//! It must not know what a link stands for.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use oci::Digest;
use storagedriver_proto::Path;

use crate::driver::{DriverClient, DriverErrorKind};

use super::error::{Found, StorageError};
use super::layout;

/// More than the longest digest, so that other content is recognised by its length.
const LINK_BYTES_MAX: usize = 256;

pub(super) async fn write(driver: &DriverClient, path: &Path, digest: &Digest) -> Result<(), StorageError> {
    Ok(driver.put(path, Bytes::copy_from_slice(digest.as_str().as_bytes())).await?)
}

/// The digest in the link at `path`; `None` without one.
///
/// Damage, such as the empty file that some file systems leave after a power cut, counts as no link: then a push of the
/// same thing repairs it.
pub(super) async fn read(driver: &DriverClient, path: &Path) -> Result<Option<Digest>, StorageError> {
    let content = match driver.get(path, LINK_BYTES_MAX).await {
        Err(error) if error.kind() == DriverErrorKind::TooLarge => Some(Bytes::new()),
        answer => answer.found()?,
    };
    Ok(content.and_then(|content| parse(path, &content)))
}

fn parse(path: &Path, content: &[u8]) -> Option<Digest> {
    let digest = str::from_utf8(content).ok().and_then(|text| Digest::parse(text).ok());
    if digest.is_none() {
        tracing::warn!(%path, "a link does not hold a digest and is ignored");
    }
    digest
}

pub(super) async fn exists(driver: &DriverClient, path: &Path) -> Result<bool, StorageError> {
    Ok(driver.stat(path).await.found()?.is_some_and(|info| !info.is_prefix))
}

/// The digests whose links lie at `ALGORITHM/HEX/link` below `folder`, in order, after the link at `start_after`.
pub(super) fn walk(
    driver: &DriverClient,
    folder: Path,
    start_after: Option<&Path>,
) -> impl Stream<Item = Result<Digest, StorageError>> + use<> {
    driver.walk(&folder, start_after).filter_map(move |entry| {
        let digest = entry.map(|entry| layout::linked_digest(&folder, &entry.path)).map_err(StorageError::from);
        std::future::ready(digest.transpose())
    })
}
