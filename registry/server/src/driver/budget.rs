//! [`Budget`]: how many bytes all write sessions together may keep for sending them again.
//!
//! Each session has a small allowance of its own beside the common budget, so that no session ever waits for another
//! one to end: it can always send what it holds, have that flushed, and go on.

use std::sync::Arc;

use storagedriver_proto::limits::CHUNK_PREFERRED;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all sessions share, beyond their own allowances.
const SHARED: usize = 4 << 20;

#[derive(Clone)]
pub(super) struct Budget {
    shared: Arc<Semaphore>,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { shared: Arc::new(Semaphore::new(SHARED)) }
    }
}

/// The bytes one session holds.
pub(super) struct Holding {
    budget: Budget,
    /// Held without asking anyone.
    own: usize,
    held: usize,
    borrowed: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A session whose flushes persist multiples of `granularity`: after a flush it holds less than that, and one
    /// more chunk fits into its own allowance.
    pub(super) fn session(&self, granularity: u64) -> Holding {
        let granularity = usize::try_from(granularity).unwrap_or(usize::MAX);
        let own = granularity.saturating_add(CHUNK_PREFERRED).max(2 * CHUNK_PREFERRED);
        Holding { budget: self.clone(), own, held: 0, borrowed: None }
    }
}

impl Holding {
    /// Holds `bytes` more, when that is possible without waiting.
    pub(super) fn try_grow(&mut self, bytes: usize) -> bool {
        let lacking = self.lacking(bytes);
        if lacking > 0 {
            let Ok(permit) = Arc::clone(&self.budget.shared).try_acquire_many_owned(lacking) else { return false };
            self.borrow(permit);
        }
        self.held += bytes;
        true
    }

    /// Waits for what `bytes` more need, without holding them yet. Give up waiting when something was released.
    pub(super) async fn wait_to_grow(&mut self, bytes: usize) {
        let lacking = self.lacking(bytes);
        // The semaphore is never closed; without a permit the caller finds out when it tries to grow.
        if let Ok(permit) = Arc::clone(&self.budget.shared).acquire_many_owned(lacking).await {
            self.borrow(permit);
        }
    }

    /// Gives `bytes` back.
    pub(super) fn shrink(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
        let surplus = self.borrowed().saturating_sub(self.held.saturating_sub(self.own));
        if let Some(borrowed) = &mut self.borrowed {
            drop(borrowed.split(surplus));
        }
    }

    /// How much must be borrowed to hold `bytes` more.
    fn lacking(&self, bytes: usize) -> u32 {
        let beyond_own = (self.held + bytes).saturating_sub(self.own);
        u32::try_from(beyond_own.saturating_sub(self.borrowed())).unwrap_or(u32::MAX)
    }

    fn borrowed(&self) -> usize {
        self.borrowed.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn borrow(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.borrowed {
            Some(borrowed) => borrowed.merge(permit),
            none => *none = Some(permit),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;

    const OWN: usize = 2 * CHUNK_PREFERRED;

    fn left(budget: &Budget) -> usize {
        budget.shared.available_permits()
    }

    #[test]
    fn only_what_exceeds_the_own_allowance_is_borrowed() {
        let budget = Budget::default();
        let mut session = budget.session(1);
        assert!(session.try_grow(OWN) && left(&budget) == SHARED);
        assert!(session.try_grow(100) && left(&budget) == SHARED - 100);
        session.shrink(60);
        assert_eq!(left(&budget), SHARED - 40);
        drop(session);
        assert_eq!(left(&budget), SHARED);
    }

    #[test]
    fn a_full_budget_stops_no_session_that_has_flushed() {
        let budget = Budget::default();
        let mut greedy = budget.session(1);
        assert!(greedy.try_grow(SHARED + OWN) && left(&budget) == 0);
        assert!(!greedy.try_grow(1));
        for granularity in [1, 5 << 20, 64 << 20] {
            let mut modest = budget.session(granularity);
            let kept_back = usize::try_from(granularity).unwrap() - 1;
            assert!(modest.try_grow(kept_back) && modest.try_grow(CHUNK_PREFERRED), "{granularity}");
        }
    }

    #[test]
    fn a_waiting_session_goes_on_when_another_releases() {
        let budget = Budget::default();
        let (mut first, mut second) = (budget.session(1), budget.session(1));
        assert!(first.try_grow(SHARED + OWN) && second.try_grow(OWN));
        assert!(second.wait_to_grow(7).now_or_never().is_none());
        first.shrink(10);
        assert!(second.wait_to_grow(7).now_or_never().is_some() && second.try_grow(7));
        assert_eq!(left(&budget), 3);
    }

    proptest! {
        #[test]
        fn what_is_borrowed_is_what_is_held_beyond_the_own(steps in prop::collection::vec((any::<bool>(), 1..OWN), 0..200)) {
            let budget = Budget::default();
            let mut session = budget.session(1);
            for (grow, bytes) in steps {
                if !grow {
                    session.shrink(bytes.min(session.held));
                } else if !session.try_grow(bytes) {
                    prop_assert!(left(&budget) < bytes);
                }
                prop_assert_eq!(SHARED - left(&budget), session.held.saturating_sub(OWN));
            }
        }
    }
}
