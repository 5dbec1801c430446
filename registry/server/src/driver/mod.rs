//! The registry's side of the StorageDriver protocol: the one place that knows gRPC, channels, deadlines and retries.
//!
//! It must not know what a path means.

mod settings;

pub(crate) use settings::{DriverSettings, Endpoint, Executable, RestartLimits, Socket, Spawn, TlsFiles, Way};
