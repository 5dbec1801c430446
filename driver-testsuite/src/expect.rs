//! What cases are made of: a comparison that says what it compared, and a refusal that carries its reason.

use std::fmt::Debug;

use storagedriver_proto::error::{code_of, from_status};
use storagedriver_proto::v1alpha1::StorageError;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;

use crate::block::difference;
use crate::failed::sentence;
use crate::process::StartError;

/// Longest sentence of a status, in bytes (clause E1).
const MESSAGE_MAX: usize = 1024;

/// What a case comes to.
pub type Outcome<T = ()> = Result<T, Unkept>;

/// Why a clause could not be seen to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unkept {
    /// The case could have been looked at, and was not: a run with such a case shows no compliance.
    Skipped(String),
    /// The case looks at something optional that this driver does not offer.
    NotOffered(String),
    /// The clause does not hold.
    Broken(String),
}

impl From<Status> for Unkept {
    fn from(status: Status) -> Self {
        Unkept::Broken(sentence(&status))
    }
}

impl From<StartError> for Unkept {
    fn from(problem: StartError) -> Self {
        let cause = std::error::Error::source(&problem).map(|cause| format!(": {cause}")).unwrap_or_default();
        Unkept::Broken(format!("{problem}{cause}"))
    }
}

impl From<std::io::Error> for Unkept {
    fn from(problem: std::io::Error) -> Self {
        Unkept::Broken(problem.to_string())
    }
}

pub(crate) fn broken<T>(how: impl Into<String>) -> Outcome<T> {
    Err(Unkept::Broken(how.into()))
}

pub(crate) fn not_offered<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Unkept::NotOffered(what.into()))
}

pub(crate) fn skipped<T>(why: impl Into<String>) -> Outcome<T> {
    Err(Unkept::Skipped(why.into()))
}

/// `what` says what was looked at; it stands in the report when `seen` is not `wanted`.
#[expect(clippy::needless_pass_by_value, reason = "so that a row of a check reads as short as an assertion")]
pub(crate) fn equal<T: PartialEq + Debug>(what: &str, seen: T, wanted: T) -> Outcome {
    ensure(seen == wanted, || format!("{what}: {seen:?} instead of {wanted:?}"))
}

/// Like [`equal`], for content too long to be shown.
pub(crate) fn same_bytes(what: &str, seen: &[u8], wanted: &[u8]) -> Outcome {
    match difference(seen, wanted) {
        None => Ok(()),
        Some(difference) => broken(format!("{what}: {difference}")),
    }
}

pub(crate) fn ensure(holds: bool, how: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Unkept::Broken(how())) }
}

/// The call failed for `reason`, in the form that clauses of section 6 ask for.
pub(crate) fn refused<T>(what: &str, result: Result<T, Status>, reason: Reason) -> Outcome<StorageError> {
    refused_as(what, result, &[reason])
}

/// The call failed for one of `reasons`.
pub(crate) fn refused_as<T>(what: &str, result: Result<T, Status>, reasons: &[Reason]) -> Outcome<StorageError> {
    let Err(status) = result else { return broken(format!("{what}: OK instead of {reasons:?}")) };
    let Some(error) = from_status(&status) else {
        return broken(format!("{what}: {}, without a StorageError, instead of {reasons:?}", sentence(&status)));
    };
    let message = status.message();
    ensure(reasons.contains(&error.reason()), || format!("{what}: {error:?} {message:?} instead of {reasons:?}"))?;
    equal(&format!("{what}: the code of {:?}", error.reason()), status.code(), code_of(error.reason()))?;
    ensure(!message.is_empty() && message.len() <= MESSAGE_MAX, || format!("{what}: the message {message:?}"))?;
    Ok(error)
}
