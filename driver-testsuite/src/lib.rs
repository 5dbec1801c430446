//! The StorageDriver contract as a library: start a driver, and learn which clauses of `proto/README.md` it keeps.
//!
//! A driver's own tests run it against their executable:
//!
//! ```no_run
//! # async fn check() -> Result<(), driver_testsuite::StartError> {
//! use driver_testsuite::{Launch, Options, Profile, run};
//! let launch = Launch::new("bulkhead-driver-filesystem").parameter("rootdirectory", "{folder}");
//! let report = run(&launch.into(), &Options::of(Profile::Registry)).await?;
//! assert!(report.is_compliant(), "{report}");
//! # Ok(())
//! # }
//! ```
//!
//! It sees the wire and nothing else, and sends through the raw generated client: it must be able to send what a
//! registry never would. It must not know any driver by its name.

mod block;
mod case;
pub mod cases;
pub mod clause;
mod client;
pub mod compare;
mod expect;
mod failed;
mod history;
mod host;
mod journal;
mod launch;
mod ledger;
mod markdown;
mod measure;
mod mount;
mod packets;
mod process;
mod proxy;
mod raw;
mod record;
mod repeat;
mod replay;
pub mod report;
mod runner;
mod running;
mod stream;
mod target;
mod trace;
mod vitals;

pub use crate::block::content;
pub use crate::case::{Case, Demand, Level, Profile, Scope};
pub use crate::client::{Client, Session};
pub use crate::expect::{Outcome, Unkept};
pub use crate::journal::{Call, Ceiling, Journal, Traffic};
pub use crate::launch::{Launch, Way};
pub use crate::process::{Driver, StartError};
pub use crate::record::{Held, Recorder};
pub use crate::report::Report;
pub use crate::runner::{Options, Progress, run};
pub use crate::running::{Running, detail, reason, refusal};
pub use crate::stream::Messages;
pub use crate::target::Target;
pub use crate::trace::Trace;
