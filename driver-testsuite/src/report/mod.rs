//! [`Report`]: what a run found, in the form that is kept, compared and turned into pages.
//!
//! It is the versioned JSON document. It holds no parameter of the store, since those may be secret.

mod badge;
mod capability;
mod folder;
mod html;
mod json;
mod junit;
mod scorecard;
pub(crate) mod svg;
mod tally;
mod text;
pub(crate) mod units;

use serde::{Deserialize, Serialize};

use crate::case::{Case, Demand, Level, Profile, Scope};
use crate::expect::{Outcome, Unkept};
use crate::journal::{Call, Traffic};

pub use self::capability::{Proof, Standing};
pub(crate) use self::html::{legend, marks, page, parts};
pub use self::json::Unreadable;
pub use self::tally::Tally;

/// The version of the document. A reader refuses a later one; fields are only ever added within one.
pub const SCHEMA: u32 = 1;

/// What a run found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub schema: u32,
    /// The version of the suite.
    pub suite: String,
    /// The protocol package that was spoken.
    pub protocol: String,
    pub driver: DriverIdentity,
    pub capabilities: Capabilities,
    /// The command line or the address, without parameters.
    pub target: String,
    pub profile: Profile,
    pub level: Level,
    /// Whether the run was narrowed to some cases, so that it shows no compliance.
    pub filtered: bool,
    pub seed: u64,
    /// When the run began, as RFC 3339 has it.
    pub started: String,
    pub seconds: f64,
    pub host: Host,
    pub traffic: Traffic,
    /// In the order of the catalogue.
    pub cases: Vec<CaseReport>,
    /// What each operation costs on a quiet driver; absent when that was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurements: Option<Measurements>,
}

/// What the driver says of itself in the handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverIdentity {
    pub name: String,
    pub version: String,
}

/// What the driver says of its store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// `VOLATILE`, `PROCESS` or `POWER`.
    pub durability: String,
    pub granularity: u64,
    pub shared: bool,
    pub read_only: bool,
    pub if_absent: bool,
    pub redirect: bool,
    pub commit_copies: bool,
    pub descriptors: bool,
    #[serde(default)]
    pub write_descriptors: bool,
}

/// Where the run took place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub system: String,
    pub processors: usize,
    pub memory_mib: u64,
}

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    pub id: String,
    pub title: String,
    pub clauses: Vec<String>,
    pub level: Level,
    pub scope: Scope,
    pub demand: Demand,
    pub verdict: Verdict,
    pub seconds: f64,
    /// What is not forbidden and an operator should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// What helps to find the cause of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// Whether the clause holds, as far as the case can see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "why")]
pub enum Verdict {
    Passed,
    /// It does not hold.
    Failed(String),
    /// It was not looked at.
    Skipped(String),
    /// It is about something optional that the driver does not offer.
    NotOffered(String),
    /// It does not hold, as was expected.
    ExpectedFailure(String),
    /// It holds, and was expected not to: the expectation is out of date.
    UnexpectedPass,
}

/// What is kept of a failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The last calls of the case.
    pub transcript: Vec<Call>,
    /// What the driver wrote to standard error meanwhile.
    pub log: String,
    /// A command line that runs this case alone, with the same seed.
    pub reproduce: String,
}

/// What the operations of a quiet driver cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    pub operations: Vec<Latency>,
    pub streams: Vec<Throughput>,
    /// Of the driver's process while it was measured; absent when it cannot be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessCost>,
    /// What was not measured, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<String>,
}

/// How long one operation takes, one call at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Such as `Stat` or `Put 4 KiB`.
    pub operation: String,
    pub calls: usize,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

/// How much passes through streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// `Read` or `Write and Commit`.
    pub operation: String,
    /// Streams at once.
    pub streams: usize,
    pub bytes: u64,
    pub seconds: f64,
}

/// What the driver's process used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessCost {
    pub cpu_seconds: f64,
    pub peak_memory_mib: f64,
}

impl Report {
    /// Whether no case found a clause broken that was not expected to be.
    pub fn is_kept(&self) -> bool {
        !self.cases.iter().any(CaseReport::is_bad)
    }

    /// Whether every case that the profile demands was run, and passed.
    pub fn is_compliant(&self) -> bool {
        let mut demanded = self.cases.iter().filter(|case| case.demand == Demand::Must);
        !self.filtered && self.level >= Level::Full && demanded.all(CaseReport::holds)
    }
}

impl Throughput {
    /// The operation, and how many streams did it.
    pub(crate) fn label(&self) -> String {
        let plural = if self.streams == 1 { "stream" } else { "streams" };
        format!("{}, {} {plural}", self.operation, self.streams)
    }
}

impl CaseReport {
    /// A report of `case` before it has run.
    pub(crate) fn new(case: &Case) -> Self {
        CaseReport {
            id: case.id.to_owned(),
            title: case.title.to_owned(),
            clauses: case.clauses.iter().map(|clause| (*clause).to_owned()).collect(),
            level: case.level,
            scope: case.scope,
            demand: case.demand,
            verdict: Verdict::Skipped("it has not run".to_owned()),
            seconds: 0.0,
            remarks: Vec::new(),
            evidence: None,
        }
    }

    /// Whether it turns a run red.
    pub fn is_bad(&self) -> bool {
        match self.verdict {
            Verdict::Failed(_) => self.demand == Demand::Must,
            Verdict::UnexpectedPass => true,
            _ => false,
        }
    }

    /// Whether a compliant driver may come out so. A profile for one option is not met without that option; all others are
    /// met without what a store need not have, such as a folder that could be looked into.
    fn holds(&self) -> bool {
        match self.verdict {
            Verdict::Passed => true,
            Verdict::NotOffered(_) => !matches!(self.scope, Scope::Descriptors | Scope::ReadOnly),
            _ => false,
        }
    }

    /// The part of the id before the slash.
    pub fn group(&self) -> &str {
        self.id.split('/').next().unwrap_or(&self.id)
    }
}

impl Verdict {
    pub(crate) fn of(outcome: Outcome, expected_to_fail: bool) -> Self {
        match outcome {
            Ok(()) if expected_to_fail => Verdict::UnexpectedPass,
            Ok(()) => Verdict::Passed,
            Err(Unkept::Skipped(why)) => Verdict::Skipped(why),
            Err(Unkept::NotOffered(what)) => Verdict::NotOffered(what),
            Err(Unkept::Broken(how)) if expected_to_fail => Verdict::ExpectedFailure(how),
            Err(Unkept::Broken(how)) => Verdict::Failed(how),
        }
    }

    /// The reason that comes with it.
    pub fn why(&self) -> Option<&str> {
        match self {
            Verdict::Passed | Verdict::UnexpectedPass => None,
            Verdict::Failed(why) | Verdict::Skipped(why) | Verdict::NotOffered(why) | Verdict::ExpectedFailure(why) => {
                Some(why)
            }
        }
    }

    /// Whether it is not what was to be expected.
    pub fn is_bad(&self) -> bool {
        matches!(self, Verdict::Failed(_) | Verdict::UnexpectedPass)
    }
}
