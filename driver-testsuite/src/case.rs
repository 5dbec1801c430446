//! What a case is: a sentence of the contract, the clauses it stands for, and a function that looks.
//!
//! It knows neither how cases are run nor what becomes of their outcomes.

use std::fmt;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::expect::Outcome;
use crate::launch::Launch;

/// How much time a case may take: a run takes all cases up to its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Some milliseconds: what a developer runs all day.
    Quick,
    /// Seconds: crashes, races, large listings.
    Full,
    /// Minutes: what is run before a release.
    Long,
}

/// What a run demands of a driver. A driver is *compliant* with one when every case of it that must pass passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// What the registry demands of its store.
    Registry,
    /// The same, less what survives the death of the process.
    Ephemeral,
    /// `registry`, and several drivers on one store.
    RegistryShared,
    /// `registry`, and descriptors handed to the caller.
    LocalFast,
    /// Reading alone, on a store that somebody else filled.
    ReadOnly,
}

/// The profiles that a case belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Every profile.
    Every,
    /// Every profile that writes.
    Writing,
    /// Every profile whose content survives the process.
    Durable,
    /// `registry-shared`.
    Shared,
    /// `local-fast`.
    Descriptors,
    /// `read-only`.
    ReadOnly,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&name(self))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&name(self))
    }
}

/// As the command line takes it.
fn name(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl Profile {
    /// Whether the cases of `scope` belong to this profile.
    pub fn includes(self, scope: Scope) -> bool {
        match scope {
            Scope::Every => true,
            Scope::Writing => self != Profile::ReadOnly,
            Scope::Durable => !matches!(self, Profile::ReadOnly | Profile::Ephemeral),
            Scope::Shared => self == Profile::RegistryShared,
            Scope::Descriptors => self == Profile::LocalFast,
            Scope::ReadOnly => self == Profile::ReadOnly,
        }
    }
}

/// Whether a profile holds without the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// A compliant driver passes it, and it is not skipped.
    Must,
    /// A failure is told and costs nothing.
    Should,
}

/// One look at the contract.
pub struct Case {
    /// `group/name`, as the command line takes it.
    pub id: &'static str,
    /// A sentence of the contract.
    pub title: &'static str,
    /// The clauses of `proto/README.md` it looks at.
    pub clauses: &'static [&'static str],
    pub level: Level,
    pub scope: Scope,
    pub demand: Demand,
    pub(crate) run: Run,
}

/// What a case works with.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// A caller of the configured driver that all such cases share, below a root path of its own.
    Store(fn(Client) -> BoxFuture<'static, Outcome>),
    /// Driver processes that the case starts, stops and kills itself.
    Process(fn(Launch) -> BoxFuture<'static, Outcome>),
    /// The root of the whole run, when all cases on the shared store are done.
    Cleanup,
}

impl Case {
    /// The part of the id before the slash.
    pub fn group(&self) -> &'static str {
        self.id.split('/').next().unwrap_or(self.id)
    }

    /// Whether the case starts and kills processes of its own.
    pub fn needs_process(&self) -> bool {
        matches!(self.run, Run::Process(_))
    }
}

/// The cases of one group: `level scope [clauses] "title" => function,` rows, each on a shared store.
///
/// `process` in front of a row's level gives the case processes of its own; `should` makes its failure a remark.
macro_rules! cases {
    ($group:literal: $($rows:tt)*) => {
        pub(super) const CASES: &[$crate::case::Case] = $crate::case::rows!($group [] $($rows)*);
    };
}
pub(crate) use cases;

/// The work of [`cases!`], a row at a time.
macro_rules! rows {
    ($group:literal [$($done:tt)*]) => { &[$($done)*] };
    ($group:literal [$($done:tt)*]
     process should $level:ident $scope:ident [$($clause:ident)+] $title:literal => $case:ident, $($rest:tt)*) => {
        $crate::case::rows!($group [$($done)* $crate::case::row!(Process Should $group $level $scope [$($clause)+] $title $case),] $($rest)*)
    };
    ($group:literal [$($done:tt)*]
     process $level:ident $scope:ident [$($clause:ident)+] $title:literal => $case:ident, $($rest:tt)*) => {
        $crate::case::rows!($group [$($done)* $crate::case::row!(Process Must $group $level $scope [$($clause)+] $title $case),] $($rest)*)
    };
    ($group:literal [$($done:tt)*]
     should $level:ident $scope:ident [$($clause:ident)+] $title:literal => $case:ident, $($rest:tt)*) => {
        $crate::case::rows!($group [$($done)* $crate::case::row!(Store Should $group $level $scope [$($clause)+] $title $case),] $($rest)*)
    };
    ($group:literal [$($done:tt)*]
     $level:ident $scope:ident [$($clause:ident)+] $title:literal => $case:ident, $($rest:tt)*) => {
        $crate::case::rows!($group [$($done)* $crate::case::row!(Store Must $group $level $scope [$($clause)+] $title $case),] $($rest)*)
    };
}
pub(crate) use rows;

macro_rules! row {
    ($kind:ident $demand:ident $group:literal $level:ident $scope:ident [$($clause:ident)+] $title:literal $case:ident) => {
        $crate::case::Case {
            id: concat!($group, "/", stringify!($case)),
            title: $title,
            clauses: &[$(stringify!($clause)),+],
            level: $crate::case::Level::$level,
            scope: $crate::case::Scope::$scope,
            demand: $crate::case::Demand::$demand,
            run: $crate::case::Run::$kind(|subject| Box::pin($case(subject))),
        }
    };
}
pub(crate) use row;
