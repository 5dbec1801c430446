//! [`HttpError`]: the one place that chooses the status and code of a failed request.
//!
//! Its message is for the client and tells nothing about the store; its source is for the log.

use std::error::Error;
use std::fmt;

use http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use oci::ErrorCode;
use serde_json::{Value, json};

use super::{Response, json_response};
use crate::storage::StorageError;

/// Why a request failed.
#[derive(Debug)]
pub(super) struct HttpError {
    code: ErrorCode,
    status: StatusCode,
    message: String,
    /// Each becomes an error of its own.
    details: Vec<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl HttpError {
    /// An error with the status that belongs to `code`; `message` is a sentence for the client.
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        HttpError { code, status, message: message.into(), details: Vec::new(), headers: Vec::new(), source: None }
    }

    /// For the few failures whose status is not the usual one of their code.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        HttpError { status, ..self }
    }

    pub(super) fn with_detail(self, detail: Value) -> Self {
        self.with_details(vec![detail])
    }

    /// One error for each of `details`, which otherwise are alike.
    pub(super) fn with_details(self, details: Vec<Value>) -> Self {
        HttpError { details, ..self }
    }

    /// What the log tells and the client never sees.
    pub(super) fn with_source(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        HttpError { source: Some(source.into()), ..self }
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn no_such_route() -> Self {
        HttpError::new(ErrorCode::Unsupported, "there is nothing at this path").with_status(StatusCode::NOT_FOUND)
    }

    /// 405, with the methods that would do.
    pub(super) fn method_not_allowed<'a>(message: &str, allowed: impl Iterator<Item = &'a Method>) -> Self {
        let names: Vec<&str> = allowed.map(Method::as_str).collect();
        let allow = HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static(""));
        HttpError::new(ErrorCode::Unsupported, message).with_header(ALLOW, allow)
    }

    /// 503, which clients repeat by themselves.
    pub(super) fn unavailable(message: &str) -> Self {
        HttpError::new(ErrorCode::Unavailable, message).with_header(RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// 500. It tells the client nothing but where the operator finds the cause.
    pub(super) fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        HttpError::new(ErrorCode::Unknown, "the registry failed; its log has the cause under the request id")
            .with_source(source)
    }

    pub(super) fn to_response(&self) -> Response {
        let body = oci::error_body(self.code, &self.message, &self.details);
        let mut response = json_response(&body);
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers.iter().cloned());
        response
    }
}

impl From<StorageError> for HttpError {
    fn from(error: StorageError) -> Self {
        let message = error.to_string();
        let of = |code: ErrorCode| HttpError::new(code, message.as_str());
        match error {
            StorageError::NameUnknown(name) => of(ErrorCode::NameUnknown).with_detail(json!({ "name": name })),
            StorageError::BlobUnknown(digest) => of(ErrorCode::BlobUnknown).with_detail(json!({ "digest": digest })),
            StorageError::ManifestUnknown => of(ErrorCode::ManifestUnknown),
            StorageError::ManifestInvalid(_) => of(ErrorCode::ManifestInvalid),
            StorageError::ManifestBlobUnknown(digests) => {
                let details = digests.iter().map(|digest| json!({ "digest": digest }));
                of(ErrorCode::ManifestBlobUnknown).with_details(details.collect())
            }
            StorageError::UploadUnknown(_) => of(ErrorCode::BlobUploadUnknown),
            StorageError::UploadConflict(_) => of(ErrorCode::BlobUploadInvalid).with_status(StatusCode::CONFLICT),
            StorageError::UploadBroken(_) => of(ErrorCode::BlobUploadInvalid),
            StorageError::RangeInvalid { .. } => of(ErrorCode::RangeInvalid),
            StorageError::DigestMismatch { claimed, actual } => {
                of(ErrorCode::DigestInvalid).with_detail(json!({ "claimed": claimed, "actual": actual }))
            }
            StorageError::SizeInvalid { .. } => of(ErrorCode::SizeInvalid),
            StorageError::BodyIncomplete { source, .. } => of(ErrorCode::SizeInvalid).with_source(source),
            StorageError::TooLarge { .. } => of(ErrorCode::SizeInvalid).with_status(StatusCode::PAYLOAD_TOO_LARGE),
            StorageError::Busy => HttpError::unavailable(&message),
            StorageError::NoSpace(_) => {
                HttpError { status: StatusCode::INSUFFICIENT_STORAGE, ..HttpError::unavailable(&message) }
                    .with_source(error)
            }
            StorageError::ReadOnly(_) => of(ErrorCode::Unsupported).with_source(error),
            StorageError::Throttled(_) => of(ErrorCode::TooManyRequests)
                .with_header(RETRY_AFTER, HeaderValue::from_static("5"))
                .with_source(error),
            StorageError::Unavailable(_) => HttpError::unavailable(&message).with_source(error),
            StorageError::Driver(_) => HttpError::internal(error),
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl Error for HttpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
