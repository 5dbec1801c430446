//! [`Failure`]: why a call failed, and the status that carries it.

use std::io::{self, ErrorKind};

use storagedriver_proto::error::to_status;
use storagedriver_proto::limits::PATH_MAX;
use storagedriver_proto::v1alpha1::StorageError;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::{Code, Status};

use crate::fault::Fault;

/// A failed call, before it is known which path it named.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// With OFFSET_INVALID: what there is.
    persisted: u64,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

pub(crate) fn failure(reason: Reason, message: impl Into<String>) -> Failure {
    Failure { reason, message: message.into(), persisted: 0 }
}

pub(crate) fn not_found() -> Failure {
    failure(Reason::NotFound, "nothing is there")
}

pub(crate) fn fenced() -> Failure {
    failure(Reason::Fenced, "the session has another writer, or has ended")
}

pub(crate) fn offset_invalid(persisted: u64) -> Failure {
    Failure {
        persisted,
        ..failure(Reason::OffsetInvalid, format!("that does not fit the {persisted} bytes there are"))
    }
}

impl Failure {
    pub(crate) fn status(self, path: &str) -> Status {
        let (error, message) = self.told(path);
        let status = to_status(&error, &message);
        match status.code() {
            code if Fault::DetailMissing.on() => Status::new(code, status.message()),
            _ if Fault::CodeUnknown.on() => {
                Status::with_details(Code::Unknown, status.message(), status.details().to_vec().into())
            }
            _ => status,
        }
    }

    /// What the caller is told, who named `path`.
    pub(crate) fn told(&self, path: &str) -> (StorageError, String) {
        let path = match path {
            _ if Fault::PathNotTold.on() => "",
            path if Fault::PathToldOtherwise.on() => path.trim_start_matches('/'),
            path => path,
        };
        // A path that is none may have any length.
        let path = &path[..path.floor_char_boundary(PATH_MAX)];
        let reason =
            if self.reason == Reason::Fenced && Fault::FencedInternal.on() { Reason::Internal } else { self.reason };
        let persisted = if Fault::PersistedNotTold.on() { 0 } else { self.persisted };
        let error = StorageError { reason: reason.into(), path: path.to_owned(), persisted, ..StorageError::default() };
        (error, self.message())
    }

    fn message(&self) -> String {
        match &self.message {
            _ if Fault::MessageEmpty.on() => String::new(),
            message if Fault::MessageLong.on() => format!("{message} {}", "!".repeat(2048)),
            message => message.clone(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(problem: io::Error) -> Self {
        let reason = match problem.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded if !Fault::NoSpaceInternal.on() => Reason::NoSpace,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Reason::AccessDenied,
            _ if Fault::BackEndNotFound.on() => Reason::NotFound,
            ErrorKind::NotFound | ErrorKind::NotADirectory => Reason::Unavailable,
            _ => Reason::Internal,
        };
        failure(reason, format!("the back end failed: {}", problem.kind()))
    }
}
