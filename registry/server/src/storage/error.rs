//! [`StorageError`]: how an operation on the registry's store can fail, as far as anyone above tells it apart.
//!
//! A variant exists because a handler answers it in its own way. What a driver reported is a source, for the log.

use oci::{Digest, RepositoryName, UploadId};

use crate::driver::{DriverError, DriverErrorKind};

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    #[error("there is no repository {0}")]
    NameUnknown(RepositoryName),
    #[error("the repository has no blob {0}")]
    BlobUnknown(Digest),
    #[error("the repository has no such manifest")]
    ManifestUnknown,
    #[error("the manifest is invalid: {0}")]
    ManifestInvalid(String),
    #[error("the repository does not have all that the manifest names: {} missing", .0.len())]
    ManifestBlobUnknown(Vec<Digest>),
    #[error("the repository has no upload {0}")]
    UploadUnknown(UploadId),
    /// Another request writes the same upload, or ended it meanwhile.
    #[error("another request has taken over the upload {0}")]
    UploadConflict(UploadId),
    /// What the store holds of the upload does not fit together, so nothing can be added to it.
    #[error("the upload {0} cannot be continued: start a new one")]
    UploadBroken(UploadId),
    #[error("the chunk starts at {start}, but the upload continues at {offset}")]
    RangeInvalid { start: u64, offset: u64 },
    #[error("the content has the digest {actual}, not {claimed}")]
    DigestMismatch { claimed: Digest, actual: Digest },
    #[error("the body has {received} bytes, not {announced} as announced")]
    SizeInvalid { announced: u64, received: u64 },
    /// The client went away, or lied about the length of the body.
    #[error("the body broke off after {received} bytes")]
    BodyIncomplete { received: u64, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the content is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("too many manifests are being read or written at once")]
    Busy,
    #[error("the store is full")]
    NoSpace(#[source] DriverError),
    #[error("the store takes no changes")]
    ReadOnly(#[source] DriverError),
    #[error("the store asks for patience")]
    Throttled(#[source] DriverError),
    #[error("the store does not answer")]
    Unavailable(#[source] DriverError),
    #[error("the store failed")]
    Driver(#[source] DriverError),
}

impl From<DriverError> for StorageError {
    fn from(error: DriverError) -> Self {
        match error.kind() {
            DriverErrorKind::NoSpace => StorageError::NoSpace(error),
            DriverErrorKind::ReadOnly => StorageError::ReadOnly(error),
            DriverErrorKind::Throttled => StorageError::Throttled(error),
            DriverErrorKind::Unavailable => StorageError::Unavailable(error),
            _ => StorageError::Driver(error),
        }
    }
}

/// For lookups where "nothing there" is an answer and not a failure.
pub(super) trait Found<T> {
    /// `None` for [`DriverErrorKind::NotFound`].
    fn found(self) -> Result<Option<T>, StorageError>;
}

impl<T> Found<T> for Result<T, DriverError> {
    fn found(self) -> Result<Option<T>, StorageError> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == DriverErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
