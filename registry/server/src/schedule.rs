//! Upkeep that runs by itself beside the requests.

use std::error::Error;
use std::time::Duration;

use rand::Rng;

use crate::config::Purge;
use crate::storage::Registry;

/// The first purge waits for up to this long, so that replicas started together do not all walk the store at once.
const FIRST_WITHIN: Duration = Duration::from_hours(1);
/// By how much the time between two purges varies, for the same reason.
const JITTER: f64 = 0.1;

/// Purges stale uploads for as long as it is polled. One that fails is logged, and the next comes in its time.
pub(crate) async fn purge_uploads(registry: Registry, purge: Purge, read_only: bool) {
    if read_only || !purge.enabled {
        return;
    }
    tokio::time::sleep(random_up_to(FIRST_WITHIN.min(purge.interval))).await;
    loop {
        match registry.purge_uploads(purge.age, purge.dry_run).await {
            Ok(purged) => tracing::info!(found = purged.found, deleted = purged.deleted, "uploads were purged"),
            Err(problem) => tracing::warn!(error = &problem as &dyn Error, "uploads could not be purged"),
        }
        let shortest = purge.interval.mul_f64(1.0 - JITTER);
        tokio::time::sleep(shortest + random_up_to(purge.interval.mul_f64(2.0 * JITTER))).await;
    }
}

fn random_up_to(most: Duration) -> Duration {
    most.mul_f64(rand::rng().random())
}
