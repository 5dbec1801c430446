//! The registry's side of the StorageDriver protocol: the one place that knows gRPC, channels, deadlines and retries.
//!
//! It must not know what a path means. To the rest of the registry it is a [`DriverClient`], on which every stored
//! byte is read and written, and a [`Supervisor`], which keeps a driver process there to answer it.
//!
//! ```text
//! settings ─► supervisor ─► spawn, log, …         the process
//!                 │    └──► handshake, health     its first calls, and the regular ones
//!                 │    └──► restart               what a death costs
//!                 ▼
//!               gate                              where calls wait while there is no driver
//!                 ▲
//!   client ───────┴──► channel                    connections
//!     │  └────► retry, error, from_proto          the protocol's tables
//!     ├─► standing                                what may be remembered
//!     ├─► read, walk        ─► stream             what goes on when a driver dies
//!     ├─► descriptors ─► packets, local_file      open files instead of bytes
//!     └─► write ─┬─► session_file                 files of sessions instead of streams
//!                └─► session_stream ─► replay, budget, write_stream
//! ```

mod answers;
mod budget;
mod channel;
mod client;
mod descriptors;
mod error;
mod from_proto;
mod gate;
mod handshake;
mod health;
mod local_file;
mod log;
mod packets;
mod read;
mod replay;
mod restart;
mod retry;
mod runtime_folder;
mod session_file;
mod session_stream;
mod settings;
mod spawn;
mod standing;
mod start_error;
mod stream;
mod supervisor;
mod walk;
mod write;
mod write_stream;

#[cfg(test)]
mod tests;

pub(crate) use client::{DriverClient, RedirectMethod};
pub(crate) use error::{DriverError, DriverErrorKind};
pub(crate) use gate::Status;
pub(crate) use local_file::LocalFile;
pub(crate) use settings::{DriverSettings, Endpoint, Executable, RestartLimits, Socket, Spawn, TlsFiles, Way};
pub(crate) use standing::Standing;
pub(crate) use start_error::StartError;
pub(crate) use supervisor::Supervisor;
pub(crate) use write::WriteSession;
