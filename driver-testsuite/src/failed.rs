//! [`FailedCall`]: which call a status belongs to, so that whoever passes the status on need not say it again.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tonic::Status;

/// A call that failed, and what lies behind a fault of its transport.
#[derive(Debug)]
pub(crate) struct FailedCall {
    call: String,
    arguments: String,
    causes: String,
}

impl FailedCall {
    /// Names `status` after its call, unless it has a name.
    pub(crate) fn named(mut status: Status, call: &str, arguments: &str) -> Status {
        if FailedCall::of(&status).is_none() {
            let (call, arguments) = (call.to_owned(), arguments.to_owned());
            let failed = FailedCall { call, arguments, causes: causes_of(&status) };
            status.set_source(Arc::new(failed));
        }
        status
    }

    fn of(status: &Status) -> Option<&FailedCall> {
        status.source()?.downcast_ref()
    }
}

impl fmt::Display for FailedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.call, self.arguments)
    }
}

impl Error for FailedCall {}

/// A sentence about a failed call, which names the call where that is known.
pub(crate) fn sentence(status: &Status) -> String {
    let (code, message) = (status.code(), status.message());
    match FailedCall::of(status) {
        Some(failed) => format!("{failed} failed: {code:?} {message:?}{}", failed.causes),
        None => format!("a call failed: {code:?} {message:?}{}", causes_of(status)),
    }
}

/// What the transport says about a fault of its own.
pub(crate) fn causes_of(status: &Status) -> String {
    match FailedCall::of(status) {
        Some(failed) => failed.causes.clone(),
        None => {
            std::iter::successors(status.source(), |&cause| cause.source()).map(|cause| format!(": {cause}")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_its_first_name_and_its_causes() {
        let broken = std::io::Error::other("broken pipe");
        let status = Status::from_error(Box::new(broken));
        let status = FailedCall::named(FailedCall::named(status, "Put", "/a 3 bytes"), "Get", "/b");
        let told = sentence(&status);
        assert!(told.starts_with("Put /a 3 bytes failed: Unknown "), "{told}");
        assert!(told.ends_with(": broken pipe"), "{told}");
    }
}
