//! How long a call may take and when it is repeated, as the protocol's sections say. It knows no connection.

use std::time::Duration;

use storagedriver_proto::limits::PROGRESS_TIMEOUT;
use tokio::time::{Instant, sleep, timeout_at};

use super::answers::Capabilities;
use super::error::{Duty, Fault};

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A kind of call: its name in errors, and how long all its attempts together may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) operation: &'static str,
    pub(super) deadline: Duration,
}

impl Call {
    const fn new(operation: &'static str, seconds: u64) -> Self {
        Call { operation, deadline: Duration::from_secs(seconds) }
    }

    pub(super) const HELLO: Call = Call::new("hello", 10);
    pub(super) const HELLO_ATTACHED: Call = Call::new("hello", 60);
    pub(super) const CONFIGURE: Call = Call::new("configure", 60);
    pub(super) const STAT: Call = Call::new("stat", 15);
    pub(super) const GET: Call = Call::new("get", 15);
    pub(super) const PUT: Call = Call::new("put", 30);
    /// Until the first message of a read.
    pub(super) const READ: Call = Call::new("read", 30);
    /// From then on, for each message.
    pub(super) const READ_ON: Call = Call { operation: "read", deadline: PROGRESS_TIMEOUT };
    pub(super) const WALK: Call = Call { operation: "walk", deadline: PROGRESS_TIMEOUT };
    pub(super) const WRITE: Call = Call { operation: "write", deadline: PROGRESS_TIMEOUT };
    pub(super) const LIST: Call = Call::new("list", 30);
    pub(super) const DELETE: Call = Call::new("delete", 30);
    pub(super) const DELETE_TREE: Call = Call::new("delete", 600);
    pub(super) const REDIRECT_URL: Call = Call::new("redirect", 5);

    pub(super) fn rename(capabilities: &Capabilities) -> Self {
        Call::new("move", publishing_seconds(capabilities))
    }

    pub(super) fn commit(capabilities: &Capabilities) -> Self {
        Call::new("commit", publishing_seconds(capabilities))
    }
}

fn publishing_seconds(capabilities: &Capabilities) -> u64 {
    if capabilities.commit_copies { 30 * 60 } else { 60 }
}

/// The attempts of one call, or of one step of a stream, within its deadline.
#[derive(Debug)]
pub(super) struct Attempts {
    limit: Duration,
    deadline: Instant,
    failed: u32,
}

impl Attempts {
    pub(super) fn within(limit: Duration) -> Self {
        Attempts { limit, deadline: Instant::now() + limit, failed: 0 }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Something moved: the time starts anew.
    pub(super) fn progressed(&mut self) {
        *self = Attempts::within(self.limit);
    }

    pub(super) fn any_failed(&self) -> bool {
        self.failed > 0
    }

    /// The answer, when the attempt had one; nothing, when it is time for the next attempt; or the fault that there is
    /// to be no other attempt after.
    pub(super) async fn settle<A>(&mut self, outcome: Result<A, Fault>) -> Result<Option<A>, Fault> {
        match outcome {
            Ok(answer) => Ok(Some(answer)),
            Err(fault) => self.pause(fault).await.map(|()| None),
        }
    }

    /// Waits for the moment of the next attempt, or gives the fault back when there is to be none.
    async fn pause(&mut self, fault: Fault) -> Result<(), Fault> {
        let remaining = self.remaining();
        let delay = match fault.duty {
            Duty::Report | Duty::ReportConfiguration => return Err(fault),
            // Halves of what remains: the last attempt is made close to the deadline, not seconds before it.
            Duty::Repeat | Duty::Configure => jitter(self.failed).min(remaining / 2),
            Duty::RepeatAfter(delay) => delay,
        };
        if remaining < BACKOFF_MIN || delay >= remaining {
            return Err(fault);
        }
        self.failed += 1;
        sleep(delay).await;
        Ok(())
    }
}

/// What `future` gives, when it does so by `deadline`.
pub(super) async fn within<T>(deadline: Instant, future: impl Future<Output = T>) -> Result<T, Fault> {
    timeout_at(deadline, future).await.map_err(|_| Fault::unreachable("the driver did not answer within the deadline"))
}

/// Full jitter: anything up to a bound that doubles.
fn jitter(failed: u32) -> Duration {
    let bound = BACKOFF_MIN.saturating_mul(2_u32.saturating_pow(failed.saturating_add(1))).min(BACKOFF_MAX);
    rand::random_range(BACKOFF_MIN..=bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::error::DriverErrorKind;

    #[test]
    fn jitter_stays_between_its_bounds() {
        for failed in [0, 1, 5, 31, u32::MAX] {
            let delay = jitter(failed);
            assert!((BACKOFF_MIN..=BACKOFF_MAX).contains(&delay), "{failed}: {delay:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_use_the_deadline_and_not_more() {
        let started = Instant::now();
        let mut attempts = Attempts::within(Duration::from_secs(15));
        while attempts.pause(Fault::unreachable("refused")).await.is_ok() {}
        let spent = started.elapsed();
        assert!(spent > Duration::from_secs(14) && spent <= Duration::from_secs(15), "{spent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_to_be_reported_is_not_waited_for() {
        let mut attempts = Attempts::within(Duration::from_secs(15));
        let fault = attempts.pause(Fault::found(DriverErrorKind::NotFound, "")).await.unwrap_err();
        assert_eq!(fault.kind, DriverErrorKind::NotFound);
        assert!(!attempts.any_failed() && attempts.remaining() == Duration::from_secs(15));
    }

    #[tokio::test(start_paused = true)]
    async fn a_driver_that_asks_for_more_than_the_deadline_gets_none() {
        let mut attempts = Attempts::within(Duration::from_secs(15));
        let wait = || {
            let mut fault = Fault::unreachable("");
            fault.duty = Duty::RepeatAfter(Duration::from_secs(9));
            fault
        };
        assert!(attempts.pause(wait()).await.is_ok());
        assert_eq!(attempts.remaining(), Duration::from_secs(6));
        assert!(attempts.pause(wait()).await.is_err());
    }
}
