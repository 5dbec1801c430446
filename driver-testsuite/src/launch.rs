//! [`Launch`]: how a driver is started for a case, and which store it is given. Nothing is started here.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::Journal;

/// How to start the driver, and the parameters of its store.
#[derive(Debug, Clone)]
pub struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    parameters: BTreeMap<String, String>,
    configuration: Option<Configuration>,
    way: Way,
    pub(crate) root: String,
    pub(crate) seed: u64,
    pub(crate) journal: Journal,
}

/// Parameters that a file holds.
#[derive(Debug, Clone)]
struct Configuration {
    file: PathBuf,
    parameters: BTreeMap<String, String>,
}

/// Stands in a parameter for a folder that is empty when the store is first opened.
const FOLDER: &str = "{folder}";

impl Launch {
    /// A driver that is this executable.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Launch {
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            parameters: BTreeMap::new(),
            configuration: None,
            way: Way::Inherited,
            root: "/testsuite".to_owned(),
            seed: 0,
            journal: Journal::new(Arc::default()),
        }
    }

    /// Gives the executable an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Gives the store a parameter. Each `{folder}` in it becomes a folder that is empty when the store is first opened.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Gives the store the parameters that stand in `file`, which is named where a run is to be repeated.
    #[must_use]
    pub fn configuration(mut self, file: impl Into<PathBuf>, parameters: BTreeMap<String, String>) -> Self {
        self.configuration = Some(Configuration { file: file.into(), parameters });
        self
    }

    /// Gives the process an environment variable, besides those of the protocol.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// The way in which the driver and its callers meet, where a case does not ask for one.
    #[must_use]
    pub fn by(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// The way given to [`by`](Self::by).
    pub fn way(&self) -> Way {
        self.way
    }

    /// Whether each start on an empty folder has a store of its own.
    pub fn is_isolated(&self) -> bool {
        self.parameters().any(|(_, value)| value.contains(FOLDER))
    }

    /// Those of a file first, so that one given by itself counts.
    fn parameters(&self) -> impl Iterator<Item = (&String, &String)> {
        self.configuration.iter().flat_map(|configuration| &configuration.parameters).chain(&self.parameters)
    }

    /// The same launch for another case: its callers work below another root and write into that case's journal.
    pub(crate) fn for_case(&self, root: String, seed: u64, journal: Journal) -> Self {
        Launch { root, seed, journal, ..self.clone() }
    }

    /// Where the case's calls and remarks are noted.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Chance that comes out alike for one seed.
    pub fn random(&self) -> rand::rngs::StdRng {
        rand::SeedableRng::seed_from_u64(self.seed)
    }

    /// How a person starts it, without its parameters, which may be secret.
    pub fn command_line(&self) -> String {
        let words = self.arguments.iter().map(|word| word.to_string_lossy());
        std::iter::once(self.program.to_string_lossy()).chain(words).collect::<Vec<_>>().join(" ")
    }

    /// The options of the program that start it so. A variable of the shell stands for every value that may be secret.
    pub(crate) fn options(&self) -> String {
        let option = |name: &str, value: &OsStr| format!("{name}={}", shell_words::quote(&value.to_string_lossy()));
        let mut words = vec![option("--spawn", self.program.as_os_str())];
        words.extend(self.arguments.iter().map(|word| option("--arg", word)));
        words.extend(self.configuration.iter().map(|from| option("--config", from.file.as_os_str())));
        words.extend(self.parameters.iter().map(|(name, value)| format!("--param={}", assignment(name, value))));
        words.extend(self.environment.keys().map(|name| option("--env", name)));
        words.extend((self.way == Way::Path).then(|| "--socket=path".to_owned()));
        words.join(" ")
    }

    /// What Configure is given for a store in `folder`.
    pub(crate) fn parameters_in(&self, folder: &Path) -> BTreeMap<String, String> {
        let filled = |value: &String| value.replace(FOLDER, &folder.to_string_lossy());
        self.parameters().map(|(name, value)| (name.clone(), filled(value))).collect()
    }
}

/// `NAME=VALUE` for a shell, which shows no value but a folder of the run and a reference to a secret.
fn assignment(name: &str, value: &str) -> String {
    if value.contains(FOLDER) || value.starts_with("file:") {
        return shell_words::quote(&format!("{name}={value}")).into_owned();
    }
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let variable: String = name.chars().map(plain).collect();
    format!("{}=\"${variable}\"", shell_words::quote(name))
}

/// How a driver and its callers meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The driver inherits a listening socket (clause L1).
    Inherited,
    /// The driver binds a path (clause L2).
    Path,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reproduction_shows_no_secret() {
        let parameters = [("bucket".to_owned(), "hidden".to_owned())].into();
        let launch = Launch::new("/opt/a driver")
            .argument("--fast")
            .configuration("store.json", parameters)
            .parameter("root", "{folder}/x")
            .parameter("secret-key", "hidden")
            .parameter("token", "file:/etc/token");
        let wanted = "--spawn='/opt/a driver' --arg=--fast --config=store.json --param='root={folder}/x' \
                      --param=secret-key=\"$secret_key\" --param='token=file:/etc/token'";
        assert_eq!(launch.options(), wanted);
        assert_eq!(launch.parameters_in(Path::new("/f")).len(), 4);
    }
}
