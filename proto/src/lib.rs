//! The StorageDriver protocol: its messages, bindings, paths, limits and errors.
//!
//! The normative text is `README.md` beside this crate.
//! This crate knows the wire and nothing else: not how a driver stores, not what a registry means by a path.

pub mod error;
pub mod limits;
mod path;

pub use path::{InvalidPath, Path};

/// The frozen first call: package `storagedriver.handshake`.
#[allow(warnings, clippy::all, clippy::cognitive_complexity, clippy::needless_pass_by_value, clippy::too_many_lines)]
#[rustfmt::skip]
pub mod handshake {
    include!("generated/storagedriver.handshake.rs");

    /// The package name.
    pub const PACKAGE: &str = "storagedriver.handshake";
}

/// The protocol itself: package `storagedriver.v1alpha1`.
#[allow(warnings, clippy::all, clippy::cognitive_complexity, clippy::needless_pass_by_value, clippy::too_many_lines)]
#[rustfmt::skip]
pub mod v1alpha1 {
    include!("generated/storagedriver.v1alpha1.rs");

    /// The package name, as it is listed in the handshake.
    pub const PACKAGE: &str = "storagedriver.v1alpha1";
    /// The service name, as the health service knows it.
    pub const SERVICE: &str = "storagedriver.v1alpha1.StorageDriver";
}

/// Names of the environment variables through which a registry starts a driver (README, "Start").
pub mod environment {
    /// The number of an inherited descriptor: a listening Unix socket.
    pub const LISTEN_FD: &str = "STORAGE_DRIVER_LISTEN_FD";
    /// The path at which the driver binds its own Unix socket.
    pub const SOCKET: &str = "STORAGE_DRIVER_SOCKET";
    /// Appended to that path, it is the path of the descriptor socket.
    pub const DESCRIPTOR_SUFFIX: &str = ".fd";
    /// The number of an inherited descriptor: a listening Unix socket for packets, the descriptor socket.
    pub const DESCRIPTOR_FD: &str = "STORAGE_DRIVER_DESCRIPTOR_FD";
    /// The number of an inherited descriptor: a pipe whose other end closes when the registry dies.
    pub const LIVENESS_FD: &str = "STORAGE_DRIVER_LIVENESS_FD";
    /// Hexadecimal bytes to echo in the handshake.
    pub const NONCE: &str = "STORAGE_DRIVER_NONCE";
}
