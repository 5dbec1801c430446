//! The one error of a driver: a kind the registry acts on, and a sentence a person reads.

use std::fmt;
use std::time::Duration;

/// What the calls of a driver return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as the registry must know to act (README of the protocol, "Errors").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no content at the path, or no session at the staging path.
    NotFound,
    /// The kit's own answer: what was sent is no path. A driver sees valid paths only.
    PathInvalid,
    /// Content stands where a prefix is needed, or the other way round.
    PathConflict,
    /// `if_absent` lost.
    AlreadyExists,
    /// `if_version` names another version than the stored one.
    VersionMismatch,
    /// The offset or size does not fit.
    OffsetInvalid {
        /// What there is: the bytes of the session that can be continued, or the size of the content.
        persisted: u64,
    },
    /// A newer writer has opened the session.
    Fenced,
    /// Over a limit of the protocol or of the back end.
    TooLarge,
    /// The back end is full, or a quota is used up.
    NoSpace,
    /// The back end asks for patience.
    Throttled {
        /// How long the registry waits before it tries again.
        retry_after: Duration,
    },
    /// A capability that the store does not declare.
    Unsupported,
    /// The store takes no changes.
    ReadOnly,
    /// The back end refuses the driver: permissions or credentials.
    AccessDenied,
    /// The back end does not answer.
    Unavailable {
        /// A mutation was on its way to the back end already.
        may_have_happened: bool,
    },
    /// What is stored is damaged.
    Corrupt,
    /// A parameter is wrong, and the message names it: see [`invalid`](crate::invalid).
    ConfigInvalid,
    /// The kit's own answer to a call before Configure.
    NotConfigured,
    /// The caller broke the protocol.
    RequestInvalid,
    /// Anything else.
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

    /// Names the cause. It goes to the log and never to the registry, so it may name what a message must not.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// There is no content at the path.
    pub fn not_found() -> Self {
        Error::new(ErrorKind::NotFound, "there is no content at this path")
    }

    /// There is no such write session: there never was, or it was committed or deleted.
    pub fn no_session() -> Self {
        Error::new(ErrorKind::NotFound, "there is no write session at this path: it was committed or deleted")
    }

    /// The writer is not the newest of its session.
    pub fn fenced() -> Self {
        Error::new(ErrorKind::Fenced, "a newer writer has opened this session")
    }

    /// There is content at the path of a change that was to be made only where there is none.
    pub fn already_exists() -> Self {
        Error::new(ErrorKind::AlreadyExists, "there is content at this path")
    }

    /// The stored version is another one than was asked for.
    pub fn changed() -> Self {
        Error::new(ErrorKind::VersionMismatch, "the content has changed")
    }

    /// The session or the content has `persisted` bytes, and the call wanted something else.
    pub fn offset_invalid(persisted: u64) -> Self {
        Error::new(ErrorKind::OffsetInvalid { persisted }, format!("there are {persisted} bytes at this path"))
    }

    /// What the registry acts on.
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
