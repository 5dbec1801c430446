//! What S3 answers, as errors of the contract.

use std::error::Error as StdError;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use driver_kit::{Error, ErrorKind, Result};

/// How long a caller waits when the server asks for patience without saying how much.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a call changes something: one that is not answered may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    Reading,
    Changing,
}

/// The code that S3 gave, where it did. An answer to HEAD has none but its status.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> &str {
    error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default()
}

/// The status of the answer; 0 when there was none.
pub(crate) fn status<E>(error: &SdkError<E, HttpResponse>) -> u16 {
    error.raw_response().map_or(0, |answer| answer.status().as_u16())
}

/// There is no object at the key.
pub(crate) fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(code(error), "NoSuchKey" | "NotFound") || (status(error) == 404 && code(error).is_empty())
}

/// The multipart upload was completed or aborted.
pub(crate) fn is_no_upload<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    code(error) == "NoSuchUpload"
}

/// A condition on the object's version was not met, or somebody else met it at the same time.
pub(crate) fn is_condition<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(status(error), 409 | 412)
        && matches!(code(error), "" | "PreconditionFailed" | "ConditionalRequestConflict")
}

/// The server knows nothing of what was asked.
pub(crate) fn is_unknown<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    status(error) == 501 || matches!(code(error), "NotImplemented" | "NotSupported" | "MethodNotAllowed")
}

/// Any failure that the call has no meaning of its own for.
pub(crate) fn failed<E>(error: SdkError<E, HttpResponse>, intent: Intent) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let (kind, sentence) = match &error {
        SdkError::ServiceError(_) => judge(code(&error), status(&error), retry_after(&error), intent),
        _ if lacks_credentials(&error) => {
            (ErrorKind::AccessDenied, "no credentials could be had to sign the request with".to_owned())
        }
        SdkError::ConstructionFailure(_) => (ErrorKind::Internal, "the request could not be made".to_owned()),
        _ => (unavailable(intent), "the S3 server does not answer".to_owned()),
    };
    Error::new(kind, sentence).with_source(error)
}

fn retry_after<E>(error: &SdkError<E, HttpResponse>) -> Option<Duration> {
    let header = error.raw_response()?.headers().get("retry-after")?;
    header.parse().ok().map(Duration::from_secs)
}

fn lacks_credentials(error: &(dyn StdError + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.any(|cause| cause.is::<CredentialsError>())
}

/// The failure of a call of which a part is done already, whatever its last request was for.
pub(crate) fn halfway(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unavailable { may_have_happened: false } => {
            Error::new(unavailable(Intent::Changing), error.to_string()).with_source(error)
        }
        _ => error,
    }
}

fn unavailable(intent: Intent) -> ErrorKind {
    ErrorKind::Unavailable { may_have_happened: intent == Intent::Changing }
}

/// What a code and a status of S3 mean.
pub(crate) fn judge(code: &str, status: u16, retry_after: Option<Duration>, intent: Intent) -> (ErrorKind, String) {
    let throttled = ErrorKind::Throttled { retry_after: retry_after.unwrap_or(PATIENCE) };
    let (kind, sentence) = match code {
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "BandwidthLimitExceeded" => (throttled, "the S3 server asks for patience"),
        // An earlier attempt may have found it.
        "NoSuchBucket" => (unavailable(intent), "the bucket does not exist"),
        "NoSuchKey" | "NotFound" => (ErrorKind::NotFound, "there is no content at this path"),
        // Of servers that keep objects in files.
        "ExistingObjectIsDirectory" | "ObjectParentIsFile" => {
            (ErrorKind::PathConflict, "there is content below or above this path")
        }
        "PreconditionFailed" => (ErrorKind::VersionMismatch, "the content has changed"),
        "NoSuchUpload" => (ErrorKind::NotFound, "the multipart upload is no more"),
        "ExpiredToken" | "TokenRefreshRequired" => {
            (ErrorKind::AccessDenied, "the credentials have expired: renew them, or let the driver find its own")
        }
        "RequestTimeTooSkewed" => {
            (ErrorKind::AccessDenied, "the clocks of this host and of the S3 server differ by too much: set them right")
        }
        "InvalidAccessKeyId" => (ErrorKind::AccessDenied, "the S3 server does not know the access key"),
        "SignatureDoesNotMatch" => (ErrorKind::AccessDenied, "the S3 server finds the secret key to be wrong"),
        "EntityTooLarge" => (ErrorKind::TooLarge, "the S3 server takes no object as large as this"),
        "KeyTooLongError" | "KeyTooLong" => {
            (ErrorKind::TooLarge, "path and rootdirectory together are longer than a key of S3 may be")
        }
        "QuotaExceeded" | "XMinioStorageFull" | "InsufficientCapacity" => (ErrorKind::NoSpace, "the bucket is full"),
        "InvalidObjectState" => {
            (ErrorKind::Internal, "the object is archived: restore it, or change its storage class")
        }
        _ => return judge_status(code, status, retry_after, intent),
    };
    (kind, sentence.to_owned())
}

fn judge_status(code: &str, status: u16, asked: Option<Duration>, intent: Intent) -> (ErrorKind, String) {
    let throttled = ErrorKind::Throttled { retry_after: asked.unwrap_or(PATIENCE) };
    let told = if code.is_empty() { format!("status {status}") } else { code.to_owned() };
    match status {
        401 | 403 => (ErrorKind::AccessDenied, format!("the S3 server refuses the driver: {told}")),
        404 => (unavailable(intent), format!("the bucket cannot be found: {told}")),
        // An answer to HEAD has no code; 503 without one is how Amazon S3 asks for patience there.
        503 if asked.is_some() || code.is_empty() => (throttled, format!("the S3 server asks for patience: {told}")),
        429 => (throttled, format!("the S3 server asks for patience: {told}")),
        507 => (ErrorKind::NoSpace, format!("the S3 server is full: {told}")),
        501 => (ErrorKind::Internal, format!("the S3 server lacks something that the driver needs: {told}")),
        500.. => (unavailable(intent), format!("the S3 server is in trouble: {told}")),
        _ => (ErrorKind::Internal, format!("the S3 server does not take the request: {told}")),
    }
}

/// What the answer to a call lacks that every server gives.
pub(crate) fn given<T>(answer: Option<T>, what: &str) -> Result<T> {
    answer.ok_or_else(|| Error::new(ErrorKind::Internal, format!("the S3 server answers without {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let unavailable = |may_have_happened| ErrorKind::Unavailable { may_have_happened };
        let throttled = |seconds| ErrorKind::Throttled { retry_after: Duration::from_secs(seconds) };
        let rows = [
            ("SlowDown", 503, None, throttled(1)),
            ("SlowDown", 503, Some(7), throttled(7)),
            ("", 429, Some(2), throttled(2)),
            ("ServiceUnavailable", 503, None, unavailable(true)),
            ("ServiceUnavailable", 503, Some(3), throttled(3)),
            ("", 503, None, throttled(1)),
            ("InternalError", 500, None, unavailable(true)),
            ("NoSuchBucket", 404, None, unavailable(true)),
            ("AccessDenied", 403, None, ErrorKind::AccessDenied),
            ("ExpiredToken", 400, None, ErrorKind::AccessDenied),
            ("RequestTimeTooSkewed", 403, None, ErrorKind::AccessDenied),
            ("", 403, None, ErrorKind::AccessDenied),
            ("QuotaExceeded", 403, None, ErrorKind::NoSpace),
            ("EntityTooLarge", 400, None, ErrorKind::TooLarge),
            ("MalformedXML", 400, None, ErrorKind::Internal),
        ];
        for (code, status, seconds, wanted) in rows {
            let (kind, _) = judge(code, status, seconds.map(Duration::from_secs), Intent::Changing);
            assert_eq!(kind, wanted, "{code} {status}");
        }
        assert_eq!(judge("InternalError", 500, None, Intent::Reading).0, unavailable(false));
    }

    #[test]
    fn what_fails_halfway_may_have_happened() {
        let unavailable = |may_have_happened| ErrorKind::Unavailable { may_have_happened };
        let kinds = [(unavailable(false), unavailable(true)), (ErrorKind::AccessDenied, ErrorKind::AccessDenied)];
        for (kind, wanted) in kinds {
            let error = halfway(Error::new(kind, "a sentence"));
            assert_eq!((error.kind(), error.to_string().as_str()), (wanted, "a sentence"));
        }
    }
}
