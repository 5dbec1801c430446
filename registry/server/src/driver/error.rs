//! [`DriverError`], what a call reports when it is given up, and [`Fault`], what one attempt of it came to.
//!
//! Here the error table of the protocol becomes code: which answers are repeated and which are reported.

use std::fmt;
use std::time::Duration;

use storagedriver_proto::v1alpha1::StorageError;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::{Path, error};
use tonic::Status;

/// What went wrong, as far as a caller may branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DriverErrorKind {
    #[error("nothing is stored there")]
    NotFound,
    #[error("content stands where a prefix is needed, or a prefix where content is")]
    PathConflict,
    #[error("something is stored there already")]
    AlreadyExists,
    #[error("the content was replaced meanwhile")]
    VersionMismatch,
    #[error("the offset does not fit the {persisted} bytes there are")]
    OffsetInvalid { persisted: u64 },
    #[error("a newer writer has taken over")]
    Fenced,
    #[error("the content is too large")]
    TooLarge,
    #[error("the store is full")]
    NoSpace,
    #[error("the store asks for patience")]
    Throttled,
    #[error("the driver cannot do this")]
    Unsupported,
    #[error("the store takes no changes")]
    ReadOnly,
    #[error("the store refuses the driver")]
    AccessDenied,
    #[error("the store cannot be reached")]
    Unavailable,
    #[error("what is stored is damaged")]
    Corrupt,
    #[error("the driver does not keep to the protocol")]
    Protocol,
    #[error("the driver failed")]
    Internal,
}

/// A call to the driver that was given up, after as many attempts as the protocol allows.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {path}: {kind}")]
pub(crate) struct DriverError {
    kind: DriverErrorKind,
    operation: &'static str,
    path: Path,
    repeated: bool,
    source: Cause,
}

impl DriverError {
    pub(crate) fn kind(&self) -> DriverErrorKind {
        self.kind
    }

    /// Whether an earlier attempt may have taken effect without its answer reaching us.
    pub(super) fn was_repeated(&self) -> bool {
        self.repeated
    }
}

/// Why an attempt failed, for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error("the driver says: {0}")]
    Answer(String),
    #[error("the connection to the driver failed")]
    Transport(#[source] Box<Status>),
    #[error("the driver's answer makes no sense: {0}")]
    Nonsense(String),
    #[error("{0}")]
    Here(String),
}

/// What the caller of a failed attempt has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// The error is the answer.
    Report,
    /// So it is, and starting the driver again unchanged would only bring it again.
    ReportConfiguration,
    /// Try again, backing off.
    Repeat,
    /// Try again, not sooner than the driver asks.
    RepeatAfter(Duration),
    /// Have the driver configured, then try again.
    Configure,
}

/// One failed attempt.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: DriverErrorKind,
    pub(super) duty: Duty,
    cause: Cause,
}

impl Fault {
    /// The driver broke the protocol: asking again would not help.
    pub(super) fn nonsense(what: impl Into<String>) -> Self {
        Fault { kind: DriverErrorKind::Protocol, duty: Duty::Report, cause: Cause::Nonsense(what.into()) }
    }

    /// No connection, or no answer in time: nothing is known about the storage.
    pub(super) fn unreachable(why: impl Into<String>) -> Self {
        Fault { kind: DriverErrorKind::Unavailable, duty: Duty::Repeat, cause: Cause::Here(why.into()) }
    }

    /// The driver is known to be down, so that waiting for it would only make others wait too.
    pub(super) fn down(why: impl Into<String>) -> Self {
        Fault { duty: Duty::Report, ..Fault::unreachable(why) }
    }

    /// The registry itself found `kind`.
    pub(super) fn found(kind: DriverErrorKind, why: impl Into<String>) -> Self {
        Fault { kind, duty: Duty::Report, cause: Cause::Here(why.into()) }
    }

    /// What the driver itself says, taken for its last word. A lost connection says nothing, and stays worth a repeat.
    pub(super) fn believed(self) -> Self {
        let duty =
            if matches!(self.cause, Cause::Answer(_)) && self.duty == Duty::Repeat { Duty::Report } else { self.duty };
        Fault { duty, ..self }
    }

    /// Whether what was asked may have happened, or may still happen.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self.duty, Duty::Repeat | Duty::RepeatAfter(_) | Duty::Configure)
    }

    pub(super) fn into_error(self, operation: &'static str, path: &Path, repeated: bool) -> DriverError {
        DriverError { kind: self.kind, operation, path: path.clone(), repeated, source: self.cause }
    }

    fn answered(error: &StorageError, message: &str) -> Self {
        let (kind, duty) = judge(error);
        Fault { kind, duty, cause: Cause::Answer(message.to_owned()) }
    }
}

impl From<Status> for Fault {
    /// A status without the typed detail is a fault of the transport, whatever its code.
    fn from(status: Status) -> Self {
        match error::from_status(&status) {
            Some(answer) => Fault::answered(&answer, status.message()),
            None => Fault {
                kind: DriverErrorKind::Unavailable,
                duty: Duty::Repeat,
                cause: Cause::Transport(Box::new(status)),
            },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Transport(status) => write!(f, "{}: {}", self.cause, status.message()),
            cause => cause.fmt(f),
        }
    }
}

/// The table in section 6 of the protocol, one line for each reason.
fn judge(error: &StorageError) -> (DriverErrorKind, Duty) {
    use DriverErrorKind as Kind;
    match error.reason() {
        Reason::NotFound => (Kind::NotFound, Duty::Report),
        Reason::PathConflict => (Kind::PathConflict, Duty::Report),
        Reason::AlreadyExists => (Kind::AlreadyExists, Duty::Report),
        Reason::VersionMismatch => (Kind::VersionMismatch, Duty::Report),
        Reason::OffsetInvalid => (Kind::OffsetInvalid { persisted: error.persisted }, Duty::Report),
        Reason::Fenced => (Kind::Fenced, Duty::Report),
        Reason::TooLarge => (Kind::TooLarge, Duty::Report),
        Reason::NoSpace => (Kind::NoSpace, Duty::Report),
        Reason::Throttled => (Kind::Throttled, patience(error)),
        Reason::Unsupported => (Kind::Unsupported, Duty::Report),
        Reason::ReadOnly => (Kind::ReadOnly, Duty::Report),
        Reason::AccessDenied => (Kind::AccessDenied, Duty::Report),
        Reason::Unavailable => (Kind::Unavailable, patience(error)),
        Reason::Corrupt => (Kind::Corrupt, Duty::Report),
        Reason::NotConfigured => (Kind::Unavailable, Duty::Configure),
        // Ours are well formed: when a driver finds them wrong, one of us has a fault.
        Reason::PathInvalid | Reason::RequestInvalid => (Kind::Internal, Duty::Report),
        Reason::ConfigInvalid => (Kind::Internal, Duty::ReportConfiguration),
        Reason::Internal | Reason::Unspecified => (Kind::Internal, Duty::Report),
    }
}

fn patience(error: &StorageError) -> Duty {
    let wait = error.retry_after.and_then(|wait| Duration::try_from(wait).ok());
    wait.filter(|wait| !wait.is_zero()).map_or(Duty::Repeat, Duty::RepeatAfter)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use storagedriver_proto::v1alpha1::StorageError;

    use super::*;

    fn fault(error: &StorageError) -> Fault {
        Fault::from(error::to_status(error, "no"))
    }

    #[test]
    fn only_what_the_table_names_is_repeated() {
        let repeated: Vec<Reason> = (0..=19)
            .filter_map(|number| Reason::try_from(number).ok())
            .filter(|reason| {
                let duty = fault(&StorageError { reason: (*reason).into(), ..Default::default() }).duty;
                !matches!(duty, Duty::Report | Duty::ReportConfiguration)
            })
            .collect();
        assert_eq!(repeated, [Reason::Throttled, Reason::Unavailable, Reason::NotConfigured]);
    }

    #[test]
    fn a_status_without_a_detail_says_nothing_about_the_storage() {
        for status in [Status::not_found("/a"), Status::aborted(""), Status::unknown("transport error")] {
            let fault = Fault::from(status);
            assert_eq!((fault.kind, fault.duty), (DriverErrorKind::Unavailable, Duty::Repeat));
        }
    }

    #[test]
    fn what_the_driver_asks_for_is_kept() {
        let wait = prost_types::Duration { seconds: 3, nanos: 0 };
        let error = StorageError { reason: Reason::Throttled.into(), retry_after: Some(wait), ..Default::default() };
        assert_eq!(fault(&error).duty, Duty::RepeatAfter(Duration::from_secs(3)));
        let error = StorageError { reason: Reason::OffsetInvalid.into(), persisted: 7, ..Default::default() };
        assert_eq!(fault(&error).kind, DriverErrorKind::OffsetInvalid { persisted: 7 });
    }

    #[test]
    fn the_source_is_not_in_the_sentence() {
        let error = fault(&StorageError { reason: Reason::NoSpace.into(), ..Default::default() });
        let error = error.into_error("put", &Path::parse("/a").unwrap(), false);
        assert_eq!(error.to_string(), "put /a: the store is full");
        assert_eq!(error.source().unwrap().to_string(), "the driver says: no");
    }
}
