//! Write a StorageDriver in Rust: implement [`StorageDriver`], and let `main` be one call to [`serve`].
//!
//! The kit does what every driver would repeat: the handshake, configuration, the socket, draining, the death of the
//! registry, logs, limits, path checks, and the form of errors on the wire.
//! It must not know any store, nor what a registry keeps in one.

mod capabilities;
mod driver;
mod error;
mod parameters;

pub use bytes::Bytes;
pub use capabilities::{Capabilities, Durability};
pub use driver::{
    Content, ContentStream, Entry, Info, Page, ReadRange, RedirectMethod, StorageDriver, Timestamp, WriteSession,
};
pub use error::{Error, ErrorKind, Result};
pub use parameters::{Parameters, invalid};
pub use storagedriver_proto::{InvalidPath, Path, limits};
