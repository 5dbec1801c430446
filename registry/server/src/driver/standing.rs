//! [`Standing`]: for how long what was read from the store stays true without asking again.
//!
//! It stays so while nobody but this registry can change the store, and everything that was asked of the driver is known
//! to have happened or not. It knows no path and no content.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

/// How long a driver may go on with a call that was lost, as the protocol says, and some more for the clocks.
const OUTLIVES: Duration = Duration::from_secs(12);

/// While it is equal to an earlier one, nothing has changed but by calls that were made and answered here meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Which process of the driver it is: a store that is not durable is empty in the next.
    pub(crate) restarts: u64,
    pub(crate) losses: u64,
}

/// The calls whose answers were lost.
#[derive(Default)]
pub(super) struct Losses(Mutex<State>);

#[derive(Default)]
struct State {
    count: u64,
    last: Option<Instant>,
}

impl Losses {
    /// An answer was lost: what it was about may still happen.
    pub(super) fn note(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        state.last = Some(Instant::now());
    }

    /// How many there were; `None` while the last of them may still have an effect.
    pub(super) fn settled(&self) -> Option<u64> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = state.last.is_none_or(|last| last.elapsed() > OUTLIVES);
        settled.then_some(state.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loss_is_waited_out_and_remembered() {
        let losses = Losses::default();
        assert_eq!(losses.settled(), Some(0));
        losses.note();
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(losses.settled(), None);
        losses.note();
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(losses.settled(), None);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(losses.settled(), Some(2));
    }
}
