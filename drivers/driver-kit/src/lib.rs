//! Write a StorageDriver in Rust: implement [`StorageDriver`], and let `main` be one call to [`serve`].
//!
//! The kit does what every driver would repeat: the handshake, configuration, the socket, draining, the death of the
//! registry, logs, limits, path checks, fencing within the process, walking, and the form of errors on the wire.
//! It must not know any store, nor what a registry keeps in one.
//!
//! A whole driver, which keeps nothing and has read-only content at one path:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::time::SystemTime;
//!
//! use driver_kit::{
//!     Bytes, Capabilities, Content, Durability, Entry, Error, ErrorKind, Info, Page, Parameters, Path, ReadRange, Result,
//!     StorageDriver, WriteSession,
//! };
//!
//! /// Says one thing.
//! struct Motto(Bytes);
//!
//! impl Motto {
//!     fn at(&self, path: &Path) -> Result<Info> {
//!         match path.as_str() {
//!             "/motto" => Ok(Info::Content {
//!                 size: self.0.len() as u64,
//!                 modified: SystemTime::UNIX_EPOCH,
//!                 version: "1".to_owned(),
//!             }),
//!             _ => Err(Error::new(ErrorKind::NotFound, "only /motto is there")),
//!         }
//!     }
//! }
//!
//! fn read_only<T>() -> Result<T> {
//!     Err(Error::new(ErrorKind::ReadOnly, "the motto stands"))
//! }
//!
//! impl StorageDriver for Motto {
//!     const NAME: &'static str = "motto";
//!     type Session = NoSession;
//!
//!     async fn configure(parameters: &mut Parameters) -> Result<Self> {
//!         Ok(Motto(parameters.take_required("motto")?.into()))
//!     }
//!
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities { read_only: true, ..Capabilities::new(Durability::Power) }
//!     }
//!
//!     async fn stat(&self, path: &Path) -> Result<Info> {
//!         self.at(path)
//!     }
//!
//!     async fn get(&self, path: &Path, _max: usize) -> Result<(Info, Bytes)> {
//!         Ok((self.at(path)?, self.0.clone()))
//!     }
//!
//!     async fn read(&self, path: &Path, range: ReadRange, _if_version: Option<&str>) -> Result<Content> {
//!         let info = self.at(path)?;
//!         let from = self.0.len().min(range.offset as usize);
//!         let to = range.length.map_or(self.0.len(), |length| self.0.len().min(from + length as usize));
//!         let bytes = self.0.slice(from..to);
//!         Ok(Content { info, stream: Box::pin(futures::stream::once(async { Ok(bytes) })) })
//!     }
//!
//!     async fn list(&self, path: &Path, start_after: Option<&str>, _limit: usize) -> Result<Page> {
//!         let motto = Entry { name: "motto".to_owned(), info: self.at(&Path::root().join("motto").unwrap())? };
//!         let shown = path.is_root() && start_after < Some("motto");
//!         Ok(Page { entries: if shown { vec![motto] } else { Vec::new() }, more: false })
//!     }
//!
//!     async fn put(&self, _: &Path, _: Bytes, _: bool) -> Result<Info> {
//!         read_only()
//!     }
//!
//!     async fn rename(&self, _: &Path, _: &Path) -> Result<Info> {
//!         read_only()
//!     }
//!
//!     async fn delete(&self, _: &Path, _: bool) -> Result<()> {
//!         read_only()
//!     }
//!
//!     async fn open(&self, _: &Path, _: u64, _: Option<&Path>) -> Result<NoSession> {
//!         read_only()
//!     }
//!
//!     async fn commit(&self, _: &Path, _: Option<&mut NoSession>, _: &Path, _: u64, _: bool) -> Result<Info> {
//!         read_only()
//!     }
//! }
//!
//! /// Nothing can be written, so no session is ever made.
//! enum NoSession {}
//!
//! impl WriteSession for NoSession {
//!     async fn write(&mut self, _: Bytes) -> Result<()> {
//!         match *self {}
//!     }
//!
//!     fn persisted(&self) -> u64 {
//!         match *self {}
//!     }
//!
//!     async fn flush(&mut self) -> Result<u64> {
//!         match *self {}
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     driver_kit::serve::<Motto>()
//! }
//! ```

#![warn(missing_docs)]

mod call;
mod capabilities;
mod check;
mod connection;
mod descriptor;
mod descriptors;
mod driver;
mod error;
pub mod flat;
mod handshake;
mod health;
mod launch;
mod listen;
mod logs;
mod packets;
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
pub use descriptor::is_being_written;
pub use driver::{
    Content, ContentStream, Entry, Info, Page, ReadRange, RedirectMethod, StorageDriver, Timestamp, WriteSession,
};
pub use error::{Error, ErrorKind, Result};
pub use parameters::{Parameters, invalid};
pub use serve::{serve, serve_with_arguments};
pub use server::Server;
pub use storagedriver_proto::{InvalidPath, Path, limits};
