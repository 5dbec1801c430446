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
mod yaml;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use meaning::{Config, Log, LogFormat, Purge};

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
