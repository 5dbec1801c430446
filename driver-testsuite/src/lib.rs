//! The StorageDriver contract as a library: start a driver, and learn which clauses of `proto/README.md` it keeps.
//!
//! A driver's own tests run it against their executable:
//!
//! ```no_run
//! # async fn check() {
//! let launch = driver_testsuite::Launch::new("bulkhead-driver-filesystem").parameter("root", "{folder}/store");
//! let report = driver_testsuite::run(&launch).await;
//! assert!(report.is_kept(), "{report}");
//! # }
//! ```
//!
//! It sees the wire and nothing else, and sends through the raw generated client: it must be able to send what a
//! registry never would. It must not know any driver by its name.

mod checks;
mod client;
mod content;
mod expect;
mod process;
mod report;

use std::time::Duration;

use futures::{StreamExt, stream};

pub use crate::client::{Client, Session};
pub use crate::expect::{Outcome, Unkept};
pub use crate::process::{Driver, Launch, StartError, Way};
pub use crate::report::{Report, Verdict};

use crate::checks::{Check, LifeCheck};

/// No check takes longer than this.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// Checks that run at once.
const AT_ONCE: usize = 4;

/// Runs every check: those on a store share one driver, those on the life of a process start their own.
pub async fn run(launch: &Launch) -> Report {
    let mut report = run_life(launch).await;
    match run_store(launch).await {
        Ok(verdicts) => report.extend(verdicts),
        Err(problem) => report.push("K1", "a_driver_starts", Verdict::from(Err(problem.into()))),
    }
    report
}

async fn run_life(launch: &Launch) -> Report {
    let results = stream::iter(checks::life())
        .map(async |check: &LifeCheck| (check.clause, check.name, judge((check.run)(launch.clone())).await));
    results.buffered(AT_ONCE).collect().await
}

async fn run_store(launch: &Launch) -> Result<Report, StartError> {
    let driver = Driver::start(launch, Way::Inherited).await?;
    let client = driver.configured().await?;
    let results = stream::iter(checks::store())
        .map(async |check: &Check| (check.clause, check.name, judge((check.run)(client.rooted(check.name))).await));
    Ok(results.buffered(AT_ONCE).collect().await)
}

async fn judge(check: impl Future<Output = Outcome>) -> Verdict {
    let outcome = tokio::time::timeout(CHECK_TIMEOUT, check).await;
    Verdict::from(outcome.unwrap_or_else(|_| Err(Unkept::Broken(format!("not done after {CHECK_TIMEOUT:?}")))))
}
