//! [`Launch`]: how a driver is started for a case, and which store it is given. Nothing is started here.

use std::collections::BTreeMap;
use std::ffi::OsString;
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
    way: Way,
    pub(crate) root: String,
    pub(crate) seed: u64,
    pub(crate) journal: Journal,
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
        self.parameters.values().any(|value| value.contains(FOLDER))
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

    /// What Configure is given for a store in `folder`.
    pub(crate) fn parameters_in(&self, folder: &Path) -> BTreeMap<String, String> {
        let filled = |value: &String| value.replace(FOLDER, &folder.to_string_lossy());
        self.parameters.iter().map(|(name, value)| (name.clone(), filled(value))).collect()
    }
}

/// How a driver and its callers meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The driver inherits a listening socket (clause L1).
    Inherited,
    /// The driver binds a path (clause L2).
    Path,
}
