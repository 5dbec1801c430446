//! The error table of the protocol in code: which gRPC status carries which reason, and how the detail travels.
//!
//! It knows the wire form of an error and not what a caller does with it: that is the table in `README.md`.

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};

use crate::v1alpha1::StorageError;
use crate::v1alpha1::storage_error::Reason;

const STORAGE_ERROR_URL: &str = "type.googleapis.com/storagedriver.v1alpha1.StorageError";

/// google.rpc.Status, the content of the `grpc-status-details-bin` trailer.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// The status code that each reason travels under (README, "Errors").
pub fn code_of(reason: Reason) -> Code {
    match reason {
        Reason::NotFound => Code::NotFound,
        Reason::PathInvalid | Reason::RequestInvalid => Code::InvalidArgument,
        Reason::AlreadyExists => Code::AlreadyExists,
        Reason::VersionMismatch | Reason::Fenced => Code::Aborted,
        Reason::OffsetInvalid => Code::OutOfRange,
        Reason::TooLarge | Reason::NoSpace | Reason::Throttled => Code::ResourceExhausted,
        Reason::Unsupported => Code::Unimplemented,
        Reason::ReadOnly | Reason::AccessDenied => Code::PermissionDenied,
        Reason::Unavailable => Code::Unavailable,
        Reason::Corrupt => Code::DataLoss,
        Reason::PathConflict | Reason::ConfigInvalid | Reason::NotConfigured => Code::FailedPrecondition,
        Reason::Internal | Reason::Unspecified => Code::Internal,
    }
}

/// The status that carries `error`; `message` is a sentence for a person, without secrets.
pub fn to_status(error: &StorageError, message: &str) -> Status {
    let code = code_of(error.reason());
    let detail = Any { type_url: STORAGE_ERROR_URL.to_owned(), value: error.encode_to_vec() };
    let details = RpcStatus { code: code as i32, message: message.to_owned(), details: vec![detail] };
    Status::with_details(code, message, details.encode_to_vec().into())
}

/// The detail of a status, or `None` when the status is not an answer of the storage.
pub fn from_status(status: &Status) -> Option<StorageError> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let detail = details.iter().find(|detail| detail.type_url == STORAGE_ERROR_URL)?;
    StorageError::decode(detail.value.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detail_survives_the_trailer() {
        let error = StorageError { persisted: 7, path: "/a".to_owned(), ..Default::default() };
        let error = StorageError { reason: Reason::OffsetInvalid.into(), ..error };
        let status = to_status(&error, "offset 9 is beyond 7");
        assert_eq!((status.code(), status.message()), (Code::OutOfRange, "offset 9 is beyond 7"));
        assert_eq!(from_status(&status), Some(error));
    }

    #[test]
    fn a_transport_fault_is_no_answer() {
        assert_eq!(from_status(&Status::unavailable("connection refused")), None);
        assert_eq!(from_status(&Status::with_details(Code::NotFound, "", vec![0xff; 9].into())), None);
    }
}
