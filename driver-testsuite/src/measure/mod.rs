//! [`measure`]: what the operations of a driver cost that does nothing else meanwhile.
//!
//! It judges nothing. What cannot be measured is named with its reason and breaks no run, and what was written is
//! deleted.

mod latency;
mod process;
mod throughput;

use std::time::Duration;

use tonic::Status;

use crate::client::Client;
use crate::journal::Journal;
use crate::report::Measurements;
use crate::target::Target;

use self::process::Usage;

/// No operation takes longer, or it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures a driver below `root`. A target that can be started is started afresh. `tell` hears what comes next.
pub(crate) async fn measure(
    target: &Target,
    root: String,
    seed: u64,
    journal: &Journal,
    tell: &(dyn Fn(&str) + Send + Sync),
) -> Measurements {
    let mut found = Measurements::default();
    let (driver, client) = match target.open(&root, seed, journal.clone()).await {
        Ok(opened) => opened,
        Err(problem) => {
            found.omitted.push(format!("everything: {problem}"));
            return found;
        }
    };
    if client.capabilities().read_only {
        found.omitted.push("everything: the store takes no changes, and there is nothing known in it".to_owned());
        return found;
    }
    let process = driver.as_ref().and_then(|driver| driver.id().ok());
    let before = process.and_then(Usage::of);
    latency::all(&client, &mut found, tell).await;
    throughput::all(&client, &mut found, tell).await;
    found.process = before.zip(process.and_then(Usage::of)).map(|(before, after)| after.since(before));
    clean(&client, &mut found).await;
    found
}

/// Deletes what was written, past the ceilings: what stays in a store costs money for longer.
async fn clean(client: &Client, found: &mut Measurements) {
    let request = storagedriver_proto::v1alpha1::DeleteRequest { path: client.root().to_owned(), recursive: true };
    if let Err(problem) = client.raw().delete(request).await {
        found.omitted.push(format!("deleting {}: {}", client.root(), problem.message()));
    }
}

/// Keeps what `measuring` gave, or the reason why it gave nothing.
async fn keep<T>(
    what: &str,
    measuring: impl Future<Output = Result<T, Status>>,
    kept: &mut Vec<T>,
    omitted: &mut Vec<String>,
) {
    match tokio::time::timeout(PATIENCE, measuring).await {
        Ok(Ok(measured)) => kept.push(measured),
        Ok(Err(problem)) => omitted.push(format!("{what}: {}", problem.message())),
        Err(_) => omitted.push(format!("{what}: not done after {PATIENCE:?}")),
    }
}
