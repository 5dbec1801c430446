//! What an operator decides about the one driver of a registry. It knows no process and no connection.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Which driver, how it is reached, and what it is told.
#[derive(Clone)]
pub(crate) struct DriverSettings {
    /// `[a-z0-9-]{1,63}`: the executable is `bulkhead-driver-NAME`, and log lines carry the name.
    pub(crate) name: String,
    pub(crate) way: Way,
    /// Given to the driver in a message. Values may be secrets: nothing here ever shows one.
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) restart: RestartLimits,
    /// Whether open files are asked for, where the driver can hand them over.
    pub(crate) descriptors: bool,
}

/// How a registry comes to its driver.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// The registry starts it and keeps it alive.
    Spawn(Spawn),
    /// Somebody else runs and configures it.
    Attach(Endpoint),
}

#[derive(Debug, Clone)]
pub(crate) struct Spawn {
    pub(crate) executable: Executable,
    pub(crate) socket: Socket,
    /// Where the private folder of the socket is made; the system's folder for temporary files when `None`.
    pub(crate) runtime_directory: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Executable {
    /// This executable again, as `bulkhead driver NAME`.
    Embedded,
    /// Exactly this file.
    File(PathBuf),
    /// `bulkhead-driver-NAME` in `directory`, or else beside this executable; never on `PATH`.
    Search { directory: Option<PathBuf> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Socket {
    /// The registry listens and the driver inherits the socket: calls wait in its queue while the driver restarts.
    Inherit,
    /// The driver binds a path, for languages whose gRPC cannot adopt a descriptor.
    Path,
}

/// Where a driver listens.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    Unix(PathBuf),
    Https { url: String, tls: TlsFiles },
}

/// PEM files of a mutually authenticated connection.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    /// Certificates that the driver's own must lead to.
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A store on this machine is there or it is not; what waits for a process that is just dying is the driver itself.
const LOCAL_PATIENCE: Duration = Duration::from_secs(2);
/// A back end elsewhere may be starting too.
const REMOTE_PATIENCE: Duration = Duration::from_secs(60);

impl Way {
    /// How long somebody who starts a registry is kept waiting for a store that its driver says it cannot have.
    pub(super) fn store_patience(&self) -> Duration {
        match self {
            Way::Spawn(Spawn { executable: Executable::Embedded, .. }) => LOCAL_PATIENCE,
            Way::Spawn(_) | Way::Attach(_) => REMOTE_PATIENCE,
        }
    }
}

/// When a driver that keeps dying is no longer waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RestartLimits {
    /// This many deaths …
    pub(crate) deaths: usize,
    /// … within this time make calls fail at once instead of waiting, until the driver works again.
    pub(crate) within: Duration,
}

impl Default for RestartLimits {
    fn default() -> Self {
        RestartLimits { deaths: 5, within: Duration::from_secs(60) }
    }
}

impl fmt::Debug for DriverSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverSettings")
            .field("name", &self.name)
            .field("way", &self.way)
            .field("parameters", &self.parameters.keys())
            .field("restart", &self.restart)
            .field("descriptors", &self.descriptors)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_value_of_a_parameter() {
        let settings = DriverSettings {
            name: "s3".to_owned(),
            way: Way::Attach(Endpoint::Unix("/run/driver.sock".into())),
            parameters: BTreeMap::from([("secretkey".to_owned(), "hunter2".to_owned())]),
            restart: RestartLimits::default(),
            descriptors: true,
        };
        let text = format!("{settings:?}");
        assert!(text.contains("secretkey") && !text.contains("hunter2"), "{text}");
    }
}
