//! [`StorageDriver`], the trait a driver implements: the calls of the protocol, as Rust.
//!
//! It is the minimum from which the kit makes the whole service; what every driver would do alike is not in it.

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::time::SystemTime;

use bytes::Bytes;
use futures::Stream;
use storagedriver_proto::Path;

use crate::capabilities::Capabilities;
use crate::error::{Error, ErrorKind, Result};
use crate::parameters::Parameters;

/// When content last changed.
pub type Timestamp = SystemTime;

/// What Stat tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Info {
    /// Something is stored at the path.
    Content {
        /// In bytes.
        size: u64,
        /// Not before the call that made the content began, to the second.
        modified: Timestamp,
        /// At most 256 bytes that differ whenever the content may differ. A listing may leave it empty.
        version: String,
    },
    /// Nothing is stored at the path itself, something is stored below it.
    Prefix,
}

/// One name of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// One path component.
    pub name: String,
    /// What [`StorageDriver::stat`] tells of it.
    pub info: Info,
}

/// A part of a listing, ordered bytewise by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In order, each name once.
    pub entries: Vec<Entry>,
    /// Another page follows the last name.
    pub more: bool,
}

/// The bytes asked for: from `offset`, `length` of them or as many as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRange {
    /// Of the first byte.
    pub offset: u64,
    /// `None`: to the end.
    pub length: Option<u64>,
}

/// The bytes of one read, in order. Dropping it stops the work behind it.
pub type ContentStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// An opened read: one version of the content, whatever happens to its path meanwhile.
pub struct Content {
    /// [`Info::Content`] of the whole content, not of the range.
    pub info: Info,
    /// Exactly the bytes of the range, clipped at the end of the content.
    pub stream: ContentStream,
}

/// For whom a redirect URL is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectMethod {
    /// The content.
    Get,
    /// Its headers.
    Head,
}

/// A configured store.
///
/// The kit has already checked every path, size and capability before it calls: a driver sees valid requests only.
///
/// The future of a call is dropped when its caller goes away or its deadline passes: a driver must leave the store whole
/// at every await. Not so [`open`](Self::open), [`open_descriptor`](Self::open_descriptor), [`commit`](Self::commit) and
/// the calls of a [`WriteSession`]: those run to their end whatever becomes of the caller, so that nothing half-done
/// meets the next writer of the path. For one path the kit makes them one after the other, and never while a `delete`
/// of just that path runs. So within one
/// process a driver needs no lock of its own for its sessions; it bounds what may hang, such as calls to a back end.
pub trait StorageDriver: Sized + Send + Sync + 'static {
    /// `[a-z0-9-]{1,63}`; the executable is `bulkhead-driver-NAME`.
    const NAME: &'static str;
    /// Told in the handshake, for people.
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// The environment variables this driver reads. It is started with these and no others of the registry's.
    const ENVIRONMENT: &'static [&'static str] = &[];

    /// An open write session.
    type Session: WriteSession;

    /// Opens the store. Take every parameter you know from `parameters`; the kit refuses those left over.
    fn configure(parameters: &mut Parameters) -> impl Future<Output = Result<Self>> + Send;

    /// Constant for the life of the process.
    fn capabilities(&self) -> Capabilities;

    /// Whether the back end answers. Called every few seconds; an error makes the registry not ready, and kills nobody.
    fn probe(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// What is at `path`; [`ErrorKind::NotFound`] when nothing is.
    fn stat(&self, path: &Path) -> impl Future<Output = Result<Info>> + Send;

    /// The whole content, when it is at most `max` bytes; [`ErrorKind::TooLarge`] otherwise. A prefix has no content:
    /// [`ErrorKind::NotFound`], here as in `read` and `rename`.
    fn get(&self, path: &Path, max: usize) -> impl Future<Output = Result<(Info, Bytes)>> + Send;

    /// Replaces what is at `path` in one step. `if_absent`: only when nothing is there.
    fn put(&self, path: &Path, content: Bytes, if_absent: bool) -> impl Future<Output = Result<Info>> + Send;

    /// Opens `range` for reading. An offset beyond the end is [`ErrorKind::OffsetInvalid`] with the size as `persisted`.
    /// With `if_version`, any other version is [`ErrorKind::VersionMismatch`].
    fn read(
        &self,
        path: &Path,
        range: ReadRange,
        if_version: Option<&str>,
    ) -> impl Future<Output = Result<Content>> + Send;

    /// Direct children of `path` after the name `start_after`, at most `limit`; an empty page when there are none.
    fn list(&self, path: &Path, start_after: Option<&str>, limit: usize) -> impl Future<Output = Result<Page>> + Send;

    /// Moves content. The target is replaced in one step. The kit answers a move onto itself.
    fn rename(&self, source: &Path, target: &Path) -> impl Future<Output = Result<Info>> + Send;

    /// Deletes content, and with `recursive` everything below `path` and every write session there.
    /// Nothing there is success. Without `recursive`, a prefix is [`ErrorKind::PathConflict`].
    fn delete(&self, path: &Path, recursive: bool) -> impl Future<Output = Result<()>> + Send;

    /// A URL from which a client fetches the content itself; `None` to have the registry serve it.
    fn redirect_url(
        &self,
        path: &Path,
        method: RedirectMethod,
        expires_in: std::time::Duration,
        client_address: Option<&str>,
    ) -> impl Future<Output = Result<Option<String>>> + Send {
        let _ = (path, method, expires_in, client_address);
        async { Err(Error::new(ErrorKind::Unsupported, "this driver gives no redirect URLs")) }
    }

    /// The file that is the content of `path`, opened for reading and nothing else, with an offset of its own. Its bytes
    /// are those of the version told, whatever happens to the path, for as long as anybody holds the descriptor.
    /// [`ErrorKind::Unsupported`] for content that has no such file; everything else as `read` has it.
    fn descriptor(
        &self,
        path: &Path,
        if_version: Option<&str>,
    ) -> impl Future<Output = Result<(Info, OwnedFd)>> + Send {
        let _ = (path, if_version);
        async { Err(Error::new(ErrorKind::Unsupported, "this driver hands no descriptors over")) }
    }

    /// Opens the write session named `path` at `offset`: 0 starts it over, anything else drops what lies beyond it.
    /// An offset that is not persisted, or no multiple of the granularity, is [`ErrorKind::OffsetInvalid`].
    /// `target` is where commit will publish, when that is known.
    ///
    /// The kit fences the sessions of this process: an older one of the path may still exist while this runs, is never
    /// called again once it succeeded, and is dropped then. Writers in other processes are the driver's to fence.
    fn open(
        &self,
        path: &Path,
        offset: u64,
        target: Option<&Path>,
    ) -> impl Future<Output = Result<Self::Session>> + Send;

    /// Opens the write session named `path` as [`open`](Self::open) does, as its file: opened for writing, at any position,
    /// `offset` bytes long, and with a name that is as durable as declared. The caller writes it and syncs it, and
    /// [`commit`](Self::commit) finds all of it there. [`ErrorKind::Unsupported`] where a session has no such file.
    ///
    /// What was handed out cannot be fenced. So while somebody has the file open, `open` and this call at any offset but 0,
    /// `commit` and `rename` are [`ErrorKind::Unavailable`], whichever process handed it out ([`crate::is_being_written`]).
    fn open_descriptor(
        &self,
        path: &Path,
        offset: u64,
        target: Option<&Path>,
    ) -> impl Future<Output = Result<OwnedFd>> + Send {
        let _ = (path, offset, target);
        async { Err(Error::new(ErrorKind::Unsupported, "this driver hands no files of write sessions out")) }
    }

    /// Publishes the session at `path`, of `size` bytes, at `target` in one step, and ends it.
    /// Harmless to repeat: when the session is gone and `target` holds `size` bytes, that is success.
    ///
    /// `session` is the one that is open in this process, just flushed: what the granularity kept from being persisted
    /// is with it. A driver of granularity 1 can ignore it. After an error it stays open and usable.
    fn commit(
        &self,
        path: &Path,
        session: Option<&mut Self::Session>,
        target: &Path,
        size: u64,
        if_absent: bool,
    ) -> impl Future<Output = Result<Info>> + Send;
}

/// An open write session. Dropping it publishes nothing and loses nothing that was persisted.
///
/// In a shared store another process may take the session over: [`ErrorKind::Fenced`]; or commit or delete it:
/// [`ErrorKind::NotFound`].
pub trait WriteSession: Send + 'static {
    /// Appends. Bytes taken here may still be in flight.
    fn write(&mut self, data: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// How many bytes from the start survive the death of this process.
    fn persisted(&self) -> u64;

    /// Persists as much as the granularity allows, to the durability declared, and tells how much that is.
    /// It costs nothing when nothing was written since the last one: the kit flushes before every commit.
    fn flush(&mut self) -> impl Future<Output = Result<u64>> + Send;
}
