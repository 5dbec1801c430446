//! The configuration: what was written in a YAML file, in the environment and on the command line, and what it means.
//!
//! Where CNCF distribution has the same setting it has the same name here. What is not understood is refused: a
//! registry that ignores a setting may run without the protection that the setting was to give.

mod driver;
mod environment;
mod http;
mod meaning;
mod node;
mod section;
mod validation;
mod yaml;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use meaning::{Config, Log, LogFormat, Purge};
pub(crate) use section::parse_duration;

use node::{Node, Origin};
use section::Section;

/// What is wrong with a configuration: a sentence that names the setting and its place.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct ConfigError {
    sentence: String,
    source: Option<io::Error>,
}

/// Settings from the command line, which win over all others.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) addr: Option<String>,
    pub(crate) data: Option<PathBuf>,
}

/// Where the data goes when nobody says anything.
const DEFAULT_DATA: &str = "data";
const FILE_BYTES_MAX: u64 = 1 << 20;

impl Config {
    /// Reads `file`, or the one that the environment names, or none; then the environment; then `options`.
    pub(crate) fn load(file: Option<&Path>, options: &Options) -> Result<Config, ConfigError> {
        let named = std::env::var_os(environment::FILE).map(PathBuf::from);
        let file = file.or(named.as_deref());
        let written = file.map(read_file).transpose()?;
        Config::from_text(written.as_deref(), std::env::vars(), options).map_err(|problem| problem.in_file(file))
    }

    /// What a file with this text means, in this environment.
    fn from_text(
        file: Option<&str>,
        variables: impl IntoIterator<Item = (String, String)>,
        options: &Options,
    ) -> Result<Config, ConfigError> {
        let mut tree = file.map_or(Ok(Node::empty()), yaml::read)?;
        environment::apply(&mut tree, variables);
        options.apply(&mut tree);
        let mut root = Section::root(tree)?;
        match root.text("version")?.as_deref() {
            Some("0.1") => {}
            None if file.is_none() => {}
            _ => return Err(ConfigError::new("the configuration should begin with 'version: 0.1'".to_owned())),
        }
        Config::read(root, file.is_none())
    }
}

impl Options {
    fn apply(&self, tree: &mut Node) {
        if let Some(addr) = &self.addr {
            tree.set(&["http", "addr"], Node::text(Origin::Option("--addr"), addr));
        }
        if let Some(data) = &self.data {
            let data = Node::text(Origin::Option("--data"), data.to_string_lossy());
            tree.set(&["storage", "filesystem", "rootdirectory"], data);
        }
    }
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    let cannot = |source| ConfigError {
        sentence: format!("cannot read the configuration {}", path.display()),
        source: Some(source),
    };
    if std::fs::metadata(path).map_err(cannot)?.len() > FILE_BYTES_MAX {
        return Err(ConfigError::new(format!("{} is too large for a configuration", path.display())));
    }
    std::fs::read_to_string(path).map_err(cannot)
}

impl ConfigError {
    fn new(sentence: String) -> Self {
        ConfigError { sentence, source: None }
    }

    fn in_file(self, file: Option<&Path>) -> Self {
        match file {
            Some(path) => ConfigError { sentence: format!("{}: {}", path.display(), self.sentence), ..self },
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Endpoint, Executable, Socket, Spawn, Way};
    use crate::http::Address;

    fn config(file: Option<&str>, variables: &[(&str, &str)], options: &Options) -> Config {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::from_text(file, variables, options).unwrap()
    }

    fn parameters(config: &Config) -> Vec<(&str, &str)> {
        config.driver.parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    #[test]
    fn with_nothing_said_the_data_is_kept_here() {
        let config = config(None, &[], &Options::default());
        assert_eq!(config.address, Address::Tcp("127.0.0.1:5000".to_owned()));
        assert_eq!((config.driver.name.as_str(), parameters(&config)), ("filesystem", vec![("rootdirectory", "data")]));
        assert!(config.http.deletes && config.http.redirects && !config.http.read_only && config.purge.enabled);
    }

    #[test]
    fn a_driver_gets_its_parameters_as_they_were_written() {
        let file = "version: 0.1
storage:
  azure:
    accountname: 0123
    credentials: {type: client_secret, secret: 'a: #b'}
    skipverify: no
    limit: 1e3
    hosts: [x, y]
    nothing:
";
        let config = config(Some(file), &[], &Options::default());
        let expected = [
            ("accountname", "0123"),
            ("credentials.secret", "a: #b"),
            ("credentials.type", "client_secret"),
            ("hosts.0", "x"),
            ("hosts.1", "y"),
            ("limit", "1e3"),
            ("skipverify", "no"),
        ];
        assert_eq!(parameters(&config), expected);
    }

    #[test]
    fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
        let file = "version: 0.1\nhttp: {addr: 'file:1'}\nstorage: {filesystem: {rootdirectory: /file}}";
        let variables =
            [("REGISTRY_HTTP_ADDR", "environment:1"), ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/env")];
        let none = config(Some(file), &variables, &Options::default());
        assert_eq!(none.address, Address::Tcp("environment:1".to_owned()));
        assert_eq!(parameters(&none), [("rootdirectory", "/env")]);
        let options = Options { addr: Some("option:1".to_owned()), data: Some("/option".into()) };
        let both = config(Some(file), &variables, &options);
        assert_eq!(both.address, Address::Tcp("option:1".to_owned()));
        assert_eq!(parameters(&both), [("rootdirectory", "/option")]);
    }

    #[test]
    fn a_driver_is_reached_as_the_operator_says() {
        let search = |directory: Option<&str>| Executable::Search { directory: directory.map(PathBuf::from) };
        let rows = [
            ("storage: {memory: }", Executable::Embedded, Socket::Inherit),
            ("storage: {inmemory: }", Executable::Embedded, Socket::Inherit),
            ("storage: {s3: }", search(None), Socket::Inherit),
            ("storage: {s3: }\ndriver: {directory: /d, socket: path}", search(Some("/d")), Socket::Path),
            ("storage: {memory: }\ndriver: {executable: /e}", Executable::File("/e".into()), Socket::Inherit),
        ];
        for (text, expected_executable, expected_socket) in rows {
            let config = config(Some(&format!("version: 0.1\n{text}")), &[], &Options::default());
            let Way::Spawn(Spawn { executable, socket, .. }) = config.driver.way else { panic!("{text}") };
            assert_eq!((executable, socket), (expected_executable, expected_socket), "{text}");
        }
    }

    #[test]
    fn a_driver_of_somebody_else_is_attached() {
        let file = "version: 0.1\ndriver: {attach: 'unix:/run/driver.sock'}";
        let config = config(Some(file), &[], &Options::default());
        assert!(
            matches!(config.driver.way, Way::Attach(Endpoint::Unix(path)) if path.as_os_str() == "/run/driver.sock")
        );
    }

    #[test]
    fn location_is_relative_unless_a_host_is_given() {
        let rows = [
            ("{}", None),
            ("{host: 'https://r.example:1/'}", Some("https://r.example:1")),
            ("{host: 'https://r.example', relativeurls: true}", None),
        ];
        for (http, expected) in rows {
            let file = format!("version: 0.1\nstorage: {{memory: }}\nhttp: {http}");
            assert_eq!(config(Some(&file), &[], &Options::default()).http.public_url.as_deref(), expected, "{http}");
        }
    }
}
