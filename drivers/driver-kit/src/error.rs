//! The one error of a driver: a kind the registry acts on, and a sentence a person reads.

use std::fmt;
use std::time::Duration;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as the registry must know to act (README of the protocol, "Errors").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    NotFound,
    /// The kit's own answer: what was sent is no path. A driver sees valid paths only.
    PathInvalid,
    /// Content stands where a prefix is needed, or the other way round.
    PathConflict,
    /// `if_absent` lost.
    AlreadyExists,
    /// `if_version` names another version than the stored one.
    VersionMismatch,
    /// The session holds `persisted` bytes and cannot do what was asked at another offset or size.
    OffsetInvalid {
        persisted: u64,
    },
    /// A newer writer has opened the session.
    Fenced,
    TooLarge,
    NoSpace,
    Throttled {
        retry_after: Duration,
    },
    Unsupported,
    ReadOnly,
    /// The back end refuses the driver: permissions or credentials.
    AccessDenied,
    /// The back end does not answer. `may_have_happened` when a mutation was already on its way to it.
    Unavailable {
        may_have_happened: bool,
    },
    /// What is stored is damaged.
    Corrupt,
    ConfigInvalid,
    /// The kit's own answer to a call before Configure.
    NotConfigured,
    /// The caller broke the protocol.
    RequestInvalid,
    Internal,
}

/// A failed operation. `Display` is the sentence alone; the cause is in `source()`.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// `message` is a sentence for a person: it names the thing and the remedy, and holds no secret and no host path.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
