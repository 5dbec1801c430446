//! [`ErrorCode`]: the identifiers by which clients tell errors apart, each with its HTTP status and a default sentence.

use serde_json::{Value, json};

/// A code of the OCI distribution specification, or one that Docker's API has beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    ManifestUnverified,
    NameInvalid,
    NameUnknown,
    PaginationNumberInvalid,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unknown,
    Unsupported,
}

impl ErrorCode {
    pub const ALL: [ErrorCode; 20] = [
        ErrorCode::BlobUnknown,
        ErrorCode::BlobUploadInvalid,
        ErrorCode::BlobUploadUnknown,
        ErrorCode::Denied,
        ErrorCode::DigestInvalid,
        ErrorCode::ManifestBlobUnknown,
        ErrorCode::ManifestInvalid,
        ErrorCode::ManifestUnknown,
        ErrorCode::ManifestUnverified,
        ErrorCode::NameInvalid,
        ErrorCode::NameUnknown,
        ErrorCode::PaginationNumberInvalid,
        ErrorCode::RangeInvalid,
        ErrorCode::SizeInvalid,
        ErrorCode::TagInvalid,
        ErrorCode::TooManyRequests,
        ErrorCode::Unauthorized,
        ErrorCode::Unavailable,
        ErrorCode::Unknown,
        ErrorCode::Unsupported,
    ];

    /// The identifier on the wire.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status of a response whose first error has this code.
    pub const fn status(self) -> u16 {
        self.row().1
    }

    /// What to say when nothing more exact is known.
    pub const fn message(self) -> &'static str {
        self.row().2
    }

    /// `MANIFEST_BLOB_UNKNOWN` is 400: the pushed manifest is at fault, and its URL is not something to be found. An upload
    /// that cannot go on is 404 like one that is not there: either way the client begins a new one.
    const fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            ErrorCode::BlobUnknown => ("BLOB_UNKNOWN", 404, "the repository has no such blob"),
            ErrorCode::BlobUploadInvalid => ("BLOB_UPLOAD_INVALID", 404, "the upload cannot be continued"),
            ErrorCode::BlobUploadUnknown => ("BLOB_UPLOAD_UNKNOWN", 404, "the repository has no such upload"),
            ErrorCode::Denied => ("DENIED", 403, "access is denied"),
            ErrorCode::DigestInvalid => ("DIGEST_INVALID", 400, "the digest is invalid or is not that of the content"),
            ErrorCode::ManifestBlobUnknown => (
                "MANIFEST_BLOB_UNKNOWN",
                400,
                "the manifest names a blob or manifest that the repository does not have",
            ),
            ErrorCode::ManifestInvalid => ("MANIFEST_INVALID", 400, "the manifest is invalid"),
            ErrorCode::ManifestUnknown => ("MANIFEST_UNKNOWN", 404, "the repository has no such manifest"),
            ErrorCode::ManifestUnverified => ("MANIFEST_UNVERIFIED", 400, "a signature of the manifest is invalid"),
            ErrorCode::NameInvalid => ("NAME_INVALID", 400, "the repository name is invalid"),
            ErrorCode::NameUnknown => ("NAME_UNKNOWN", 404, "the registry has no such repository"),
            ErrorCode::PaginationNumberInvalid => {
                ("PAGINATION_NUMBER_INVALID", 400, "the number of results asked for is invalid")
            }
            ErrorCode::RangeInvalid => ("RANGE_INVALID", 416, "the range is invalid or out of order"),
            ErrorCode::SizeInvalid => ("SIZE_INVALID", 400, "the length given is not that of the content"),
            ErrorCode::TagInvalid => ("TAG_INVALID", 400, "the tag is invalid"),
            ErrorCode::TooManyRequests => ("TOOMANYREQUESTS", 429, "there are too many requests: try again later"),
            ErrorCode::Unauthorized => ("UNAUTHORIZED", 401, "authentication is required"),
            ErrorCode::Unavailable => ("UNAVAILABLE", 503, "the registry is not available: try again later"),
            ErrorCode::Unknown => ("UNKNOWN", 500, "the registry met an unknown error"),
            ErrorCode::Unsupported => ("UNSUPPORTED", 405, "the operation is not supported"),
        }
    }
}

/// The body of a response with one error, or with one of the same code for each of `details`.
pub fn error_body(code: ErrorCode, message: &str, details: &[Value]) -> Value {
    let bare = json!({ "code": code.as_str(), "message": message });
    let with = |detail: &Value| json!({ "code": code.as_str(), "message": message, "detail": detail });
    let errors = if details.is_empty() { vec![bare] } else { details.iter().map(with).collect() };
    json!({ "errors": errors })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_words_with_an_error_status() {
        let words: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert!(code.as_str().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{code:?}");
            assert!((400..600).contains(&code.status()), "{code:?}");
            assert!(!code.message().is_empty(), "{code:?}");
        }
    }

    #[test]
    fn body_has_the_form_of_the_specification() {
        let bare = error_body(ErrorCode::TagInvalid, "no", &[]);
        assert_eq!(bare, json!({"errors": [{"code": "TAG_INVALID", "message": "no"}]}));
        let detailed = error_body(ErrorCode::NameUnknown, "no", &[json!({"name": "a"}), json!(2)]);
        let expected = json!([
            {"code": "NAME_UNKNOWN", "message": "no", "detail": {"name": "a"}},
            {"code": "NAME_UNKNOWN", "message": "no", "detail": 2},
        ]);
        assert_eq!(detailed["errors"], expected);
    }
}
