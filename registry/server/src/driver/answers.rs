//! What a driver answers, in types of our own. It knows nothing of the wire: that is `from_proto`.

use std::time::SystemTime;

use storagedriver_proto::Path;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Info {
    /// 0 for a prefix.
    pub(crate) size: u64,
    /// The epoch for a prefix.
    pub(crate) modified: SystemTime,
    /// Opaque; differs whenever the content may differ. Empty for a prefix, and maybe in listings.
    pub(crate) version: String,
    /// Nothing is stored at the path itself, something is stored below it.
    pub(crate) is_prefix: bool,
}

/// One direct child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListEntry {
    pub(crate) name: String,
    pub(crate) info: Info,
}

/// Some of the direct children, ordered bytewise by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ListPage {
    pub(crate) entries: Vec<ListEntry>,
    /// Another page follows the last name.
    pub(crate) more: bool,
}

/// One content found by a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalkEntry {
    pub(crate) path: Path,
    pub(crate) info: Info,
}

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Durability {
    Volatile,
    Process,
    Power,
}

/// What the configured store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) durability: Durability,
    /// A flush persists multiples of this many bytes; at least 1.
    pub(crate) granularity: u64,
    /// Several driver processes, and so several registries, may serve the store.
    pub(crate) shared: bool,
    pub(crate) read_only: bool,
    pub(crate) redirect: bool,
    /// Commit away from the session's hint costs a copy.
    pub(crate) commit_copies: bool,
    /// Content can be had as an open file, by who is on the same host.
    pub(crate) descriptors: bool,
    /// A write session can be had as an open file, by who has the driver for itself.
    pub(crate) write_descriptors: bool,
}

impl Capabilities {
    /// Promises nothing.
    pub(super) const NONE: Capabilities = Capabilities {
        durability: Durability::Volatile,
        granularity: 1,
        shared: false,
        read_only: false,
        redirect: false,
        commit_copies: false,
        descriptors: false,
        write_descriptors: false,
    };
}
