//! What Azure answers, as errors of the contract.

use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

use azure_core::error::ErrorKind as CoreKind;
use azure_core::http::RawResponse;
use azure_core::http::headers::HeaderName;
use driver_kit::{Error, ErrorKind};

/// How long a caller waits when the server asks for patience without saying how much.
const PATIENCE: Duration = Duration::from_secs(1);
/// The service takes requests of another time within this much.
const SKEW_MAX: Duration = Duration::from_secs(15 * 60);

pub(crate) const DATE: HeaderName = HeaderName::from_static("date");
pub(crate) const RETRY_AFTER: HeaderName = HeaderName::from_static("retry-after");
pub(crate) const CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// What the client gives that no answer of the wanted kind came to.
pub(crate) type Failure = azure_core::Error;

/// Whether a call changes something: one that is not answered may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    Reading,
    Changing,
}

/// The code that Azure gave, where it did.
pub(crate) fn code(failure: &Failure) -> &str {
    match failure.kind() {
        CoreKind::HttpResponse { error_code: Some(code), .. } => code,
        _ => "",
    }
}

/// The status of the answer; 0 when there was none.
pub(crate) fn status(failure: &Failure) -> u16 {
    failure.http_status().map_or(0, u16::from)
}

fn answer(failure: &Failure) -> Option<&RawResponse> {
    match failure.kind() {
        CoreKind::HttpResponse { raw_response, .. } => raw_response.as_deref(),
        _ => None,
    }
}

/// There is nothing at the key. A container that is not there is another thing.
pub(crate) fn is_missing(failure: &Failure) -> bool {
    status(failure) == 404 && !code(failure).starts_with("Container")
}

/// A condition on the object's version was not met.
pub(crate) fn is_condition(failure: &Failure) -> bool {
    matches!(code(failure), "BlobAlreadyExists" | "ConditionNotMet" | "TargetConditionNotMet" | "SourceConditionNotMet")
}

/// A block that is to be committed is not there any more.
pub(crate) fn is_lost_block(failure: &Failure) -> bool {
    matches!(code(failure), "InvalidBlockList" | "InvalidBlockId")
}

/// What is at the key was written in another way, and can only be deleted and written anew.
pub(crate) fn is_other_type(failure: &Failure) -> bool {
    code(failure) == "InvalidBlobType"
}

/// Somebody holds a lease on the object, or a copy onto it is under way: both end by themselves.
pub(crate) fn is_busy(code: &str) -> bool {
    matches!(code, "LeaseIdMissing" | "LeaseAlreadyPresent" | "PendingCopyOperation")
}

/// Any failure that the call has no meaning of its own for.
pub(crate) fn failed(failure: Failure, intent: Intent) -> Error {
    let (kind, sentence) = match failure.kind() {
        CoreKind::HttpResponse { .. } => {
            let asked = answer(&failure).and_then(retry_after);
            let (kind, sentence) = judge(code(&failure), status(&failure), asked, intent);
            // Only who is refused wants to know why.
            let skewed = kind == ErrorKind::AccessDenied && answer(&failure).is_some_and(is_skewed);
            (kind, if skewed { SKEWED.to_owned() } else { sentence })
        }
        CoreKind::Credential => refused_token(&failure, intent),
        CoreKind::Io | CoreKind::Connection => (unavailable(intent), "the Azure server does not answer".to_owned()),
        _ => (ErrorKind::Internal, "the Azure server's answer cannot be understood".to_owned()),
    };
    Error::new(kind, sentence).with_source(failure)
}

const SKEWED: &str = "the clocks of this host and of the Azure server differ by too much: set them right";

/// Whether the clocks differ by more than the server takes.
fn is_skewed(answer: &RawResponse) -> bool {
    let told = answer.headers().get_optional_str(&DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let now = SystemTime::now();
    told.is_some_and(|told| now.duration_since(told).unwrap_or_else(|ahead| ahead.duration()) > SKEW_MAX)
}

/// Who gives tokens may be down, or may not know the driver.
fn refused_token(failure: &Failure, intent: Intent) -> (ErrorKind, String) {
    let mut causes = std::iter::successors(Some::<&(dyn StdError + 'static)>(failure), |&cause| cause.source());
    let down = causes.any(|cause| {
        let kind = cause.downcast_ref::<Failure>().map(Failure::kind);
        matches!(kind, Some(CoreKind::Io | CoreKind::Connection))
            || matches!(kind, Some(CoreKind::HttpResponse { status, .. }) if u16::from(*status) >= 500)
    });
    if down {
        return (unavailable(intent), "who gives the tokens for Azure does not answer".to_owned());
    }
    (ErrorKind::AccessDenied, "no token could be had for Azure: look at the credentials parameters".to_owned())
}

/// As the header says, in seconds.
pub(crate) fn retry_after(answer: &RawResponse) -> Option<Duration> {
    answer.headers().get_optional_str(&RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs)
}

fn unavailable(intent: Intent) -> ErrorKind {
    ErrorKind::Unavailable { may_have_happened: intent == Intent::Changing }
}

/// What a code and a status of Azure mean.
pub(crate) fn judge(code: &str, status: u16, retry_after: Option<Duration>, intent: Intent) -> (ErrorKind, String) {
    let throttled = ErrorKind::Throttled { retry_after: retry_after.unwrap_or(PATIENCE) };
    let down = ErrorKind::Unavailable { may_have_happened: false };
    let (kind, sentence) = match code {
        "ServerBusy" | "TooManyRequests" | "AccountLimitExceeded" => (throttled, "the Azure server asks for patience"),
        "ContainerNotFound" | "ContainerBeingDeleted" | "ContainerDisabled" => (down, "the container does not exist"),
        "BlobNotFound" | "ResourceNotFound" => (ErrorKind::NotFound, "there is no content at this path"),
        "ConditionNotMet" | "TargetConditionNotMet" | "SourceConditionNotMet" => {
            (ErrorKind::VersionMismatch, "the content has changed")
        }
        "BlobAlreadyExists" => (ErrorKind::AlreadyExists, "there is content at this path"),
        "AuthenticationFailed" => (ErrorKind::AccessDenied, "the Azure server finds the key or the token to be wrong"),
        "AuthorizationPermissionMismatch" | "AuthorizationFailure" | "InsufficientAccountPermissions" => {
            (ErrorKind::AccessDenied, "the Azure server knows the driver and does not permit what it needs")
        }
        "AccountIsDisabled" => (ErrorKind::AccessDenied, "the storage account is disabled"),
        "RequestBodyTooLarge" | "BlockCountExceedsLimit" => {
            (ErrorKind::TooLarge, "the Azure server takes no content as large as this: raise chunksize")
        }
        "InvalidResourceName" | "OutOfRangeInput" => {
            (ErrorKind::TooLarge, "path and rootdirectory together are no key that Azure takes")
        }
        "BlobArchived" | "BlobBeingRehydrated" => {
            (ErrorKind::Internal, "the content is archived: bring it back to an online tier")
        }
        "BlobImmutableDueToPolicy" => {
            (ErrorKind::AccessDenied, "a policy keeps the content from being changed: lift it, or set readonly")
        }
        _ if is_busy(code) => (down, "somebody holds a lease on the content, or is copying to it"),
        _ => return judge_status(code, status, retry_after, intent),
    };
    (kind, sentence.to_owned())
}

fn judge_status(code: &str, status: u16, asked: Option<Duration>, intent: Intent) -> (ErrorKind, String) {
    let throttled = ErrorKind::Throttled { retry_after: asked.unwrap_or(PATIENCE) };
    let told = if code.is_empty() { format!("status {status}") } else { code.to_owned() };
    match status {
        401 | 403 => (ErrorKind::AccessDenied, format!("the Azure server refuses the driver: {told}")),
        404 => (ErrorKind::Unavailable { may_have_happened: false }, format!("nothing is found at all: {told}")),
        429 => (throttled, format!("the Azure server asks for patience: {told}")),
        // This is how the service slows down who asks too much.
        503 => (throttled, format!("the Azure server asks for patience: {told}")),
        507 => (ErrorKind::NoSpace, format!("the Azure server is full: {told}")),
        501 => (ErrorKind::Internal, format!("the Azure server lacks something that the driver needs: {told}")),
        500.. => (unavailable(intent), format!("the Azure server is in trouble: {told}")),
        _ => (ErrorKind::Internal, format!("the Azure server does not take the request: {told}")),
    }
}

pub(crate) fn reading(failure: Failure) -> Error {
    failed(failure, Intent::Reading)
}

pub(crate) fn changing(failure: Failure) -> Error {
    failed(failure, Intent::Changing)
}

#[cfg(test)]
mod tests {
    use azure_core::http::StatusCode;
    use azure_core::http::headers::Headers;

    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let unavailable = |may_have_happened| ErrorKind::Unavailable { may_have_happened };
        let throttled = |seconds| ErrorKind::Throttled { retry_after: Duration::from_secs(seconds) };
        let rows = [
            ("ServerBusy", 503, None, throttled(1)),
            ("ServerBusy", 503, Some(7), throttled(7)),
            ("", 503, Some(3), throttled(3)),
            ("", 429, Some(2), throttled(2)),
            ("InternalError", 500, None, unavailable(true)),
            ("OperationTimedOut", 500, None, unavailable(true)),
            ("ContainerNotFound", 404, None, unavailable(false)),
            ("AuthenticationFailed", 403, None, ErrorKind::AccessDenied),
            ("AuthorizationPermissionMismatch", 403, None, ErrorKind::AccessDenied),
            ("", 401, None, ErrorKind::AccessDenied),
            ("ConditionNotMet", 412, None, ErrorKind::VersionMismatch),
            ("LeaseIdMissing", 412, None, unavailable(false)),
            ("RequestBodyTooLarge", 413, None, ErrorKind::TooLarge),
            ("InvalidHeaderValue", 400, None, ErrorKind::Internal),
        ];
        for (code, status, seconds, wanted) in rows {
            let (kind, _) = judge(code, status, seconds.map(Duration::from_secs), Intent::Changing);
            assert_eq!(kind, wanted, "{code} {status}");
        }
        assert_eq!(judge("InternalError", 500, None, Intent::Reading).0, unavailable(false));
    }

    #[test]
    fn clocks_that_differ_are_told_apart_from_wrong_keys() {
        for (ago, wanted) in [(0, "key or the token"), (3600, "clocks")] {
            let mut headers = Headers::new();
            let date = SystemTime::now() - Duration::from_secs(ago);
            headers.insert(DATE, httpdate::fmt_http_date(date));
            let raw_response = Some(Box::new(RawResponse::from_bytes(StatusCode::Forbidden, headers, "")));
            let error_code = Some("AuthenticationFailed".to_owned());
            let kind = CoreKind::HttpResponse { status: StatusCode::Forbidden, error_code, raw_response };
            let error = reading(Failure::with_message(kind, "refused"));
            assert_eq!(error.kind(), ErrorKind::AccessDenied);
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
}
