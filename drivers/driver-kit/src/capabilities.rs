//! What a configured store can do, as its driver declares it (README of the protocol, "Capabilities").

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Nothing: it is gone with the driver process.
    Volatile,
    /// The death of the driver process.
    Process,
    /// The loss of power.
    Power,
}

/// The capabilities of one configured store. [`Capabilities::new`] claims nothing but a durability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// A flush persists multiples of this many bytes; 1 means any offset.
    pub granularity: u64,
    /// Several driver processes may serve this store at once.
    pub shared: bool,
    /// The kit answers every mutating call with [`crate::ErrorKind::ReadOnly`].
    pub read_only: bool,
    /// `if_absent` of put and commit is atomic. Without it the kit answers such a call with `Unsupported`.
    pub if_absent: bool,
    /// [`crate::StorageDriver::redirect_url`] gives URLs.
    pub redirect: bool,
    /// Commit to a target other than the session's hint costs a copy, not a rename.
    pub commit_copies: bool,
    /// [`crate::StorageDriver::descriptor`] gives descriptors. The kit declares it only where there is a socket for them.
    pub descriptors: bool,
    /// [`crate::StorageDriver::open_descriptor`] gives the files of write sessions. Declared by the kit as the others are.
    pub write_descriptors: bool,
}

impl Capabilities {
    /// A store of which nothing more is known than what its writes survive.
    pub fn new(durability: Durability) -> Self {
        Capabilities {
            durability,
            granularity: 1,
            shared: false,
            read_only: false,
            if_absent: false,
            redirect: false,
            commit_copies: false,
            descriptors: false,
            write_descriptors: false,
        }
    }
}
