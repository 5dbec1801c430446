//! Which driver keeps the store and how it is reached: the section `driver`, and the one key of `storage` that is the
//! name of a driver, with its parameters below it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::driver::{DriverSettings, Endpoint, Executable, RestartLimits, Socket, Spawn, TlsFiles, Way};

use super::node::{Node, Value};
use super::section::Section;
use super::{ConfigError, DEFAULT_DATA};

/// The drivers inside the registry's own executable.
const EMBEDDED: [&str; 2] = ["filesystem", "memory"];
/// What a driver is called in the log when nobody gives it a name.
const ATTACHED: &str = "attached";
const NAME_MAX: usize = 63;

/// What is left of `storage` names a driver. `standalone` says that without one the default store is meant.
pub(super) fn settings(mut driver: Section, storage: Section, standalone: bool) -> Result<DriverSettings, ConfigError> {
    let named = Named::read(storage)?;
    let descriptors = driver.flag("descriptors")?.unwrap_or(true);
    let settings = match driver.text("attach")? {
        Some(address) => attached(named, endpoint(&address, driver.section("tls")?)?)?,
        None => {
            let missing = || ConfigError::new("storage should name a driver, such as filesystem".to_owned());
            let named = named.or_else(|| standalone.then(Named::default)).ok_or_else(missing)?;
            let way = Way::Spawn(spawn(&mut driver, &named.name)?);
            named.reached(way)
        }
    };
    driver.finish()?;
    Ok(DriverSettings { descriptors, ..settings })
}

fn spawn(driver: &mut Section, name: &str) -> Result<Spawn, ConfigError> {
    let file = driver.text("executable")?.map(PathBuf::from);
    let directory = driver.text("directory")?.map(PathBuf::from);
    let executable = match file {
        Some(file) => Executable::File(file),
        None if EMBEDDED.contains(&name) => Executable::Embedded,
        None => Executable::Search { directory },
    };
    let socket = driver.value("socket", "inherit or path", socket)?.unwrap_or(Socket::Inherit);
    let runtime_directory = driver.text("runtimedirectory")?.map(PathBuf::from);
    Ok(Spawn { executable, socket, runtime_directory })
}

fn socket(text: &str) -> Option<Socket> {
    match text {
        "inherit" => Some(Socket::Inherit),
        "path" => Some(Socket::Path),
        _ => None,
    }
}

fn endpoint(address: &str, mut tls: Section) -> Result<Endpoint, ConfigError> {
    if let Some(path) = address.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
        tls.finish()?;
        return Ok(Endpoint::Unix(path.into()));
    }
    if !address.starts_with("https://") {
        return Err(ConfigError::new("driver.attach should be unix:/PATH or https://HOST:PORT".to_owned()));
    }
    let mut file = |key| {
        let missing = || ConfigError::new(format!("driver.tls.{key} should name a PEM file"));
        tls.text(key)?.map(PathBuf::from).ok_or_else(missing)
    };
    let files = TlsFiles { authority: file("authority")?, certificate: file("certificate")?, key: file("key")? };
    tls.finish()?;
    Ok(Endpoint::Https { url: address.to_owned(), tls: files })
}

/// An attached driver brings its own configuration, so there is nothing to give it.
fn attached(named: Option<Named>, endpoint: Endpoint) -> Result<DriverSettings, ConfigError> {
    let named = named.unwrap_or_else(|| Named { name: ATTACHED.to_owned(), parameters: BTreeMap::new() });
    match named.parameters.keys().next() {
        None => Ok(named.reached(Way::Attach(endpoint))),
        Some(key) => Err(ConfigError::new(format!(
            "storage.{}.{key} is of no use to an attached driver: configure it where it runs",
            named.name
        ))),
    }
}

/// A driver as the section `storage` names it.
struct Named {
    name: String,
    parameters: BTreeMap<String, String>,
}

impl Default for Named {
    fn default() -> Self {
        let parameters = BTreeMap::from([("rootdirectory".to_owned(), DEFAULT_DATA.to_owned())]);
        Named { name: "filesystem".to_owned(), parameters }
    }
}

impl Named {
    /// Takes what is left of the section: one key at most, and that one a driver.
    fn read(mut storage: Section) -> Result<Option<Self>, ConfigError> {
        let mut rest = storage.rest().into_iter();
        let Some((name, node)) = rest.next() else { return Ok(None) };
        if let Some((other, place)) = rest.next() {
            let both = format!("{name} ({}) and {other} ({})", node.origin, place.origin);
            return Err(ConfigError::new(format!("storage should name one driver, and names {both}: keep one")));
        }
        if !is_driver_name(&name) {
            let sentence = format!("storage.{name} ({}) is neither a setting nor the name of a driver", node.origin);
            return Err(ConfigError::new(format!("{sentence}, which has lower-case letters, digits and '-'")));
        }
        if matches!(node.value, Value::Text(_) | Value::List(_)) {
            let sentence = format!("storage.{name} ({}) should have parameters below it, or nothing", node.origin);
            return Err(ConfigError::new(sentence));
        }
        let mut parameters = BTreeMap::new();
        flatten(String::new(), node, &mut parameters);
        // distribution calls its memory driver so.
        let name = if name == "inmemory" { "memory".to_owned() } else { name };
        Ok(Some(Named { name, parameters }))
    }

    fn reached(self, way: Way) -> DriverSettings {
        let Named { name, parameters } = self;
        DriverSettings { name, way, parameters, restart: RestartLimits::default(), descriptors: true }
    }
}

/// A driver's name becomes part of a file name.
fn is_driver_name(name: &str) -> bool {
    let harmless = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(harmless)
}

/// `{credentials: {type: x}}` becomes `credentials.type`, and the items of a list are numbered from 0.
fn flatten(name: String, node: Node, into: &mut BTreeMap<String, String>) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match node.value {
        Value::Nothing => {}
        Value::Text(text) => drop(into.insert(name, text)),
        Value::List(items) => {
            items.into_iter().enumerate().for_each(|(index, item)| flatten(below(&index.to_string()), item, into));
        }
        Value::Map(entries) => entries.into_iter().for_each(|(key, node)| flatten(below(&key), node, into)),
    }
}
