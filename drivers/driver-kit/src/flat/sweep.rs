//! When what the dead left in a store is taken away. What that is, each driver knows.

use std::time::Duration;

use crate::error::Result;
use crate::parameters::{Parameters, invalid};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AGE_DEFAULT: u64 = 14;
/// In days: a session lives at least a week, and clocks differ.
const AGE_MIN: u64 = 8;

/// Takes the parameter `uploadmaxdays`: after how long a session that nobody goes on with is taken away; `None`: never.
pub fn upload_age(parameters: &mut Parameters) -> Result<Option<Duration>> {
    let days = parameters.take_parsed("uploadmaxdays")?.unwrap_or(AGE_DEFAULT);
    match u32::try_from(days) {
        Ok(0) => Ok(None),
        Ok(days) if u64::from(days) >= AGE_MIN => Ok(Some(DAY * days)),
        _ => Err(invalid("uploadmaxdays", &format!("must be 0, which is never, or at least {AGE_MIN}"))),
    }
}

/// Sweeps now and every day, for as long as the process lives. `sweep` tells how much it took away.
pub fn sweep_every_day<F>(sweep: impl Fn() -> F + Send + 'static)
where
    F: Future<Output = Result<usize>> + Send,
{
    tokio::spawn(async move {
        loop {
            match sweep().await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "sessions that nobody went on with were taken away"),
                Err(problem) => tracing::warn!(%problem, "what others left in the store could not be looked through"),
            }
            tokio::time::sleep(DAY).await;
        }
    });
}
