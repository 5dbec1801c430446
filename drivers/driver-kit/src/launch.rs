//! How the process was started: by a registry, through the environment, or by an operator, through arguments.
//!
//! Reading that touches neither sockets nor descriptors.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use storagedriver_proto::environment::{DESCRIPTOR_FD, DESCRIPTOR_SUFFIX, LISTEN_FD, LIVENESS_FD, NONCE, SOCKET};

/// Everything a driver process is told at its start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) socket: Socket,
    /// Where descriptors are asked for; nobody does when there is none.
    pub(crate) descriptor_socket: Option<Socket>,
    /// The pipe whose other end closes when the registry dies.
    pub(crate) liveness: Option<RawFd>,
    pub(crate) nonce: Vec<u8>,
    /// The file in which an operator configures the store.
    pub(crate) configuration: Option<PathBuf>,
}

/// Where the driver is called.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    /// A listening socket that the registry owns and this process inherited.
    Inherited(RawFd),
    /// A path at which this process binds its own.
    Path(PathBuf),
}

/// A start that cannot be. Each is a sentence for whoever started the driver.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error(
        "a storage driver is started by a registry, which sets {LISTEN_FD} or {SOCKET}; \
         to run one for a registry to attach to: {0} --listen unix:PATH --config FILE, \
         where FILE is a JSON object of strings, the parameters of the store"
    )]
    NobodyCalls(String),
    #[error("the argument {0} is unknown, or its value is missing; there are --listen unix:PATH and --config FILE")]
    Argument(String),
    #[error("--listen takes unix:PATH, not {0}")]
    Listen(String),
    #[error("--listen needs --config FILE: an attached driver is configured by its operator")]
    ConfigMissing,
    #[error("{name} is {text:?}, which is not a number of a descriptor")]
    Descriptor { name: &'static str, text: String },
    #[error("{NONCE} is not hexadecimal")]
    Nonce,
    #[error("the configuration {} cannot be read", .0.display())]
    ConfigUnreadable(PathBuf, #[source] std::io::Error),
    #[error("the configuration {} is not a JSON object of strings", .0.display())]
    ConfigSyntax(PathBuf, #[source] serde_json::Error),
}

impl Launch {
    /// Reads the arguments, without the program's name, and the environment; `program` is named in the usage.
    pub(crate) fn read(
        program: &str,
        arguments: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, LaunchError> {
        let Arguments { listen, configuration } = Arguments::read(arguments)?;
        let socket = match (descriptor(LISTEN_FD, &variable)?, variable(SOCKET), listen) {
            (_, _, Some(path)) if configuration.is_some() => Socket::Path(path),
            (_, _, Some(_)) => return Err(LaunchError::ConfigMissing),
            (Some(number), _, None) => Socket::Inherited(number),
            (None, Some(path), None) => Socket::Path(path.into()),
            (None, None, None) => return Err(LaunchError::NobodyCalls(program.to_owned())),
        };
        let descriptor_socket = match &socket {
            Socket::Inherited(_) => descriptor(DESCRIPTOR_FD, &variable)?.map(Socket::Inherited),
            Socket::Path(path) => Some(Socket::Path(beside(path))),
        };
        let nonce = variable(NONCE).map_or(Some(Vec::new()), |text| parse_hex(text.to_str()?));
        let nonce = nonce.ok_or(LaunchError::Nonce)?;
        let liveness = descriptor(LIVENESS_FD, &variable)?;
        Ok(Launch { socket, descriptor_socket, liveness, nonce, configuration })
    }
}

/// The parameters in an operator's file.
pub(crate) fn read_configuration(file: &Path) -> Result<BTreeMap<String, String>, LaunchError> {
    let text =
        std::fs::read_to_string(file).map_err(|problem| LaunchError::ConfigUnreadable(file.to_owned(), problem))?;
    serde_json::from_str(&text).map_err(|problem| LaunchError::ConfigSyntax(file.to_owned(), problem))
}

#[derive(Default)]
struct Arguments {
    listen: Option<PathBuf>,
    configuration: Option<PathBuf>,
}

impl Arguments {
    fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, LaunchError> {
        let mut read = Arguments::default();
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            match (name.to_str(), arguments.next()) {
                (Some("--listen"), Some(address)) => read.listen = Some(socket_path(&address)?),
                (Some("--config"), Some(file)) => read.configuration = Some(file.into()),
                _ => return Err(LaunchError::Argument(name.to_string_lossy().into_owned())),
            }
        }
        Ok(read)
    }
}

fn socket_path(address: &OsString) -> Result<PathBuf, LaunchError> {
    let path = address.to_str().and_then(|address| address.strip_prefix("unix:")).filter(|path| !path.is_empty());
    path.map(PathBuf::from).ok_or_else(|| LaunchError::Listen(address.to_string_lossy().into_owned()))
}

/// The descriptor socket of a driver that binds `path`.
fn beside(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(DESCRIPTOR_SUFFIX);
    path.into()
}

fn descriptor(name: &'static str, variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<RawFd>, LaunchError> {
    let Some(text) = variable(name) else { return Ok(None) };
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| LaunchError::Descriptor { name, text: text.to_string_lossy().into_owned() })
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

    fn read(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Launch, String> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        let launch = Launch::read("bulkhead-driver-x", arguments.iter().map(Into::into), |name| {
            variables.get(name).map(Into::into)
        });
        launch.map_err(|problem| problem.to_string())
    }

    fn launch(socket: Socket) -> Launch {
        let descriptor_socket = match &socket {
            Socket::Inherited(_) => None,
            Socket::Path(path) => Some(Socket::Path(format!("{}.fd", path.display()).into())),
        };
        Launch { socket, descriptor_socket, liveness: None, nonce: Vec::new(), configuration: None }
    }

    #[test]
    fn a_registry_names_a_socket() {
        let all = [(LISTEN_FD, "3"), (LIVENESS_FD, "4"), (NONCE, "00fFa1"), (DESCRIPTOR_FD, "5")];
        let told = Launch { liveness: Some(4), nonce: vec![0, 0xff, 0xa1], ..launch(Socket::Inherited(3)) };
        assert_eq!(read(&[], &all[..3]), Ok(Launch { nonce: told.nonce.clone(), ..told }));
        let told = Launch { descriptor_socket: Some(Socket::Inherited(5)), ..read(&[], &all[..3]).unwrap() };
        assert_eq!(read(&[], &all), Ok(told));
        let own = [(SOCKET, "/run/d.sock"), (DESCRIPTOR_FD, "5")];
        assert_eq!(read(&[], &own), Ok(launch(Socket::Path("/run/d.sock".into()))));
        assert_eq!(read(&[], &[(SOCKET, "/run/d.sock")]), Ok(launch(Socket::Path("/run/d.sock".into()))));
        assert_eq!(read(&[], &[(SOCKET, "/d"), (LISTEN_FD, "7")]), Ok(launch(Socket::Inherited(7))));
    }

    #[test]
    fn an_operator_names_a_socket_and_a_configuration() {
        let attached = Launch { configuration: Some("/etc/d.json".into()), ..launch(Socket::Path("/run/d".into())) };
        assert_eq!(read(&["--listen", "unix:/run/d", "--config", "/etc/d.json"], &[]), Ok(attached));
    }

    #[test]
    fn everything_else_is_refused_with_a_remedy() {
        let rows: [Row<'_>; 9] = [
            (&[], &[], "started by a registry"),
            (&[], &[], "bulkhead-driver-x --listen unix:PATH"),
            (&["--help"], &[], "--help"),
            (&["--listen"], &[], "--listen"),
            (&["--listen", "/run/d", "--config", "/c"], &[], "unix:PATH, not /run/d"),
            (&["--listen", "unix:", "--config", "/c"], &[], "unix:PATH"),
            (&["--listen", "unix:/run/d"], &[], "--config FILE"),
            (&[], &[(LISTEN_FD, "three")], "STORAGE_DRIVER_LISTEN_FD is \"three\""),
            (&[], &[(LISTEN_FD, "3"), (NONCE, "abc")], "STORAGE_DRIVER_NONCE"),
        ];
        for (arguments, variables, part) in rows {
            let problem = read(arguments, variables).unwrap_err();
            assert!(problem.contains(part), "{arguments:?} {variables:?}: {problem}");
        }
    }
}
