//! The driver's words as messages of the protocol, and its errors as statuses. Nothing else makes either.

use std::error::Error as _;
use std::time::Duration;

use storagedriver_proto::error::to_status;
use storagedriver_proto::limits::PATH_MAX;
use storagedriver_proto::v1alpha1 as pb;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;

use crate::capabilities::{Capabilities, Durability};
use crate::driver::{Entry, Info, RedirectMethod};
use crate::error::{Error, ErrorKind};

/// Longest sentence of a status, in bytes.
const MESSAGE_MAX: usize = 1024;

impl From<Info> for pb::Info {
    fn from(info: Info) -> Self {
        match info {
            Info::Content { size, modified, version } => {
                pb::Info { size, modified: Some(modified.into()), version, is_prefix: false }
            }
            Info::Prefix => pb::Info { is_prefix: true, ..Default::default() },
        }
    }
}

impl From<Entry> for pb::list_response::Entry {
    fn from(entry: Entry) -> Self {
        pb::list_response::Entry { name: entry.name, info: Some(entry.info.into()) }
    }
}

impl From<Capabilities> for pb::Capabilities {
    fn from(capabilities: Capabilities) -> Self {
        let Capabilities {
            durability,
            granularity,
            shared,
            read_only,
            if_absent,
            redirect,
            commit_copies,
            descriptors,
            write_descriptors,
        } = capabilities;
        let durability = match durability {
            Durability::Volatile => pb::capabilities::Durability::Volatile,
            Durability::Process => pb::capabilities::Durability::Process,
            Durability::Power => pb::capabilities::Durability::Power,
        };
        pb::Capabilities {
            durability: durability.into(),
            granularity,
            shared,
            read_only,
            if_absent,
            redirect,
            commit_copies,
            descriptors,
            write_descriptors,
        }
    }
}

impl From<pb::redirect_url_request::Method> for RedirectMethod {
    fn from(method: pb::redirect_url_request::Method) -> Self {
        match method {
            pb::redirect_url_request::Method::Head => RedirectMethod::Head,
            pb::redirect_url_request::Method::Get | pb::redirect_url_request::Method::Unspecified => {
                RedirectMethod::Get
            }
        }
    }
}

/// The status that tells the registry of `error`.
pub(crate) fn status(path: &str, error: &Error) -> Status {
    let (detail, message) = failure(path, error);
    to_status(&detail, &message)
}

/// What the registry is told of `error`. The causes stay here, in the log: they may name paths of the host.
pub(crate) fn failure(path: &str, error: &Error) -> (pb::StorageError, String) {
    log(path, error);
    let mut detail = pb::StorageError { path: clip(path, PATH_MAX).to_owned(), ..Default::default() };
    detail.set_reason(reason(error.kind()));
    match error.kind() {
        ErrorKind::OffsetInvalid { persisted } => detail.persisted = persisted,
        ErrorKind::Throttled { retry_after } => detail.retry_after = wire_duration(retry_after),
        ErrorKind::Unavailable { may_have_happened } => detail.may_have_happened = may_have_happened,
        _ => {}
    }
    (detail, clip(&error.to_string(), MESSAGE_MAX).to_owned())
}

fn wire_duration<T: TryFrom<Duration>>(duration: Duration) -> Option<T> {
    duration.try_into().ok()
}

fn reason(kind: ErrorKind) -> Reason {
    match kind {
        ErrorKind::NotFound => Reason::NotFound,
        ErrorKind::PathInvalid => Reason::PathInvalid,
        ErrorKind::PathConflict => Reason::PathConflict,
        ErrorKind::AlreadyExists => Reason::AlreadyExists,
        ErrorKind::VersionMismatch => Reason::VersionMismatch,
        ErrorKind::OffsetInvalid { .. } => Reason::OffsetInvalid,
        ErrorKind::Fenced => Reason::Fenced,
        ErrorKind::TooLarge => Reason::TooLarge,
        ErrorKind::NoSpace => Reason::NoSpace,
        ErrorKind::Throttled { .. } => Reason::Throttled,
        ErrorKind::Unsupported => Reason::Unsupported,
        ErrorKind::ReadOnly => Reason::ReadOnly,
        ErrorKind::AccessDenied => Reason::AccessDenied,
        ErrorKind::Unavailable { .. } => Reason::Unavailable,
        ErrorKind::Corrupt => Reason::Corrupt,
        ErrorKind::ConfigInvalid => Reason::ConfigInvalid,
        ErrorKind::NotConfigured => Reason::NotConfigured,
        ErrorKind::RequestInvalid => Reason::RequestInvalid,
        ErrorKind::Internal => Reason::Internal,
    }
}

/// What an operator must see is logged as such; what a caller provokes all day is not.
fn log(path: &str, error: &Error) {
    let path = clip(path, PATH_MAX);
    let cause = causes(error);
    match error.kind() {
        ErrorKind::Internal | ErrorKind::Corrupt | ErrorKind::ConfigInvalid => {
            tracing::error!(path, cause, "{error}");
        }
        ErrorKind::Unavailable { .. } | ErrorKind::AccessDenied | ErrorKind::NoSpace | ErrorKind::Throttled { .. } => {
            tracing::warn!(path, cause, "{error}");
        }
        _ => tracing::debug!(path, cause, "{error}"),
    }
}

/// The sources of `error` in one line, outermost first.
pub(crate) fn causes(error: &Error) -> String {
    let chain = std::iter::successors(error.source(), |&cause| cause.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn clip(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
