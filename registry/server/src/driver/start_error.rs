//! Why a driver cannot be used: sentences for an operator, each with what to do about it.

use std::io;
use std::path::PathBuf;

use super::channel::InvalidEndpoint;
use super::log::Exit;

#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("{0:?} is not the name of a driver: a name has 1 to 63 of a-z, 0-9 and -")]
    Name(String),
    #[error("there is no {file} in {folders}; install it there, or configure the path of the executable")]
    NotInstalled { file: String, folders: String },
    #[error("the driver's executable {} cannot be started", program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("no socket for the driver can be made in {}; configure a short, writable runtime directory", folder.display())]
    Socket { folder: PathBuf, source: io::Error },
    #[error("the driver's endpoint cannot be used")]
    Endpoint(#[from] InvalidEndpoint),
    #[error("the driver {driver} ended by {exit}")]
    Exited { driver: String, exit: Exit },
    #[error("the driver {driver} hangs: it did not answer for 15 seconds")]
    Hangs { driver: String },
    #[error("the driver {driver} did not answer the handshake: {why}")]
    Silent { driver: String, why: String },
    #[error(
        "the driver {driver} speaks {theirs}, and this registry speaks {ours}; \
         install a driver and a registry that have a protocol in common"
    )]
    Protocol { driver: String, theirs: String, ours: String },
    #[error("what answers in the place of the driver {driver} is not the process that was started for it")]
    Impostor { driver: String },
    #[error("the driver {driver} refuses its configuration: {why}")]
    Configuration { driver: String, why: String },
    #[error("the driver {driver} cannot open its store: {why}")]
    Store { driver: String, why: String },
}

impl StartError {
    /// Whether the driver itself works, and its store is what is wrong.
    pub(crate) fn is_about_the_store(&self) -> bool {
        matches!(self, StartError::Configuration { .. } | StartError::Store { .. })
    }

    /// Whether starting the same driver with the same configuration again is pointless.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, StartError::Configuration { .. })
    }
}
