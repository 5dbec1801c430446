//! Write a StorageDriver in Rust: implement [`StorageDriver`], and let `main` be one call to [`serve`].
//!
//! The kit does what every driver would repeat: the handshake, configuration, the socket, draining, the death of the
//! registry, logs, limits, path checks, fencing within the process, walking, and the form of errors on the wire.
//! It must not know any store, nor what a registry keeps in one.

mod call;
mod capabilities;
mod check;
mod descriptor;
mod driver;
mod error;
mod handshake;
mod health;
mod launch;
mod logs;
mod parameters;
mod read;
mod serve;
mod server;
mod service;
mod sessions;
mod store;
mod walk;
mod wire;
mod write;

pub use bytes::Bytes;
pub use capabilities::{Capabilities, Durability};
pub use driver::{
    Content, ContentStream, Entry, Info, Page, ReadRange, RedirectMethod, StorageDriver, Timestamp, WriteSession,
};
pub use error::{Error, ErrorKind, Result};
pub use parameters::{Parameters, invalid};
pub use serve::{serve, serve_with_arguments};
pub use server::Server;
pub use storagedriver_proto::{InvalidPath, Path, limits};
