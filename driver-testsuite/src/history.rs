//! Whether a history of concurrent calls on one path can be told as one call after another.
//!
//! A path is a register. A call takes effect at one instant between its beginning and its end; one whose outcome is not
//! known takes effect at any instant after its beginning, or never (Wing and Gong, with the states seen kept as Lowe
//! does). It knows nothing of drivers.

use std::collections::HashSet;

/// The content at a path: its number, or nothing.
pub(crate) type State = Option<u64>;

/// Most calls of one history: each is a bit.
pub(crate) const CALLS_MAX: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The register became this.
    Became(State),
    /// It was nothing, and became this.
    Created(u64),
    /// It was something.
    WasTaken,
    /// It was seen as this.
    Seen(State),
}

/// One call, with instants that order all calls of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) began: u64,
    /// `None`: its outcome is not known.
    pub(crate) ended: Option<u64>,
    pub(crate) effect: Effect,
}

/// Whether there is an order of the calls, starting with nothing, in which each has the effect it was seen to have.
pub(crate) fn is_linearizable(calls: &[Call]) -> bool {
    debug_assert!(calls.len() <= CALLS_MAX);
    let certain = calls.iter().enumerate().filter(|(_, call)| call.ended.is_some());
    let certain = certain.fold(0u128, |all, (place, _)| all | 1 << place);
    let mut seen = HashSet::new();
    let mut open = vec![(0u128, None)];
    while let Some((done, state)) = open.pop() {
        if done & certain == certain {
            return true;
        }
        if seen.insert((done, state)) {
            open.extend(next(calls, done, state));
        }
    }
    false
}

/// Each way in which one more call can have taken effect.
fn next(calls: &[Call], done: u128, state: State) -> impl Iterator<Item = (u128, State)> {
    let waiting = calls.iter().enumerate().filter(move |(place, _)| done & 1 << place == 0);
    let first_end = waiting.clone().filter_map(|(_, call)| call.ended).min().unwrap_or(u64::MAX);
    waiting
        .filter(move |(_, call)| call.began <= first_end)
        .filter_map(move |(place, call)| Some((done | 1 << place, after(call.effect, state)?)))
}

/// The state after `effect`; `None` when it cannot have happened in `state`.
fn after(effect: Effect, state: State) -> Option<State> {
    match effect {
        Effect::Became(new) => Some(new),
        Effect::Created(new) => state.is_none().then_some(Some(new)),
        Effect::WasTaken => state.is_some().then_some(state),
        Effect::Seen(seen) => (seen == state).then_some(state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(began: u64, ended: u64, effect: Effect) -> Call {
        Call { began, ended: Some(ended), effect }
    }

    #[test]
    fn calls_that_overlap_may_come_in_either_order() {
        let put = [call(0, 10, Effect::Became(Some(1))), call(5, 15, Effect::Became(Some(2)))];
        for seen in [1, 2] {
            assert!(is_linearizable(&[put[0], put[1], call(20, 30, Effect::Seen(Some(seen)))]));
        }
        assert!(!is_linearizable(&[put[0], put[1], call(20, 30, Effect::Seen(None))]));
    }

    #[test]
    fn a_stale_read_is_no_history() {
        let put = call(0, 10, Effect::Became(Some(1)));
        assert!(!is_linearizable(&[put, call(11, 12, Effect::Seen(None))]));
        assert!(is_linearizable(&[put, call(9, 12, Effect::Seen(None))]));
    }

    #[test]
    fn two_readers_agree_on_the_order() {
        let puts = [call(0, 100, Effect::Became(Some(1))), call(0, 100, Effect::Became(Some(2)))];
        let reads = |first, second| [call(10, 20, Effect::Seen(Some(first))), call(30, 40, Effect::Seen(Some(second)))];
        let [one, two] = reads(1, 2);
        assert!(is_linearizable(&[puts[0], puts[1], one, two]));
        assert!(!is_linearizable(&[puts[0], puts[1], one, two, call(50, 60, Effect::Seen(Some(1)))]));
    }

    #[test]
    fn one_of_two_creates_and_an_unknown_outcome_is_either() {
        let [one, other] = [1, 2].map(|number| call(0, 10, Effect::Created(number)));
        assert!(!is_linearizable(&[one, other]));
        assert!(is_linearizable(&[one, call(0, 10, Effect::WasTaken)]));
        let lost = Call { began: 0, ended: None, effect: Effect::Became(Some(7)) };
        for seen in [None, Some(7)] {
            assert!(is_linearizable(&[lost, call(20, 30, Effect::Seen(seen))]));
        }
        assert!(!is_linearizable(&[lost, call(20, 30, Effect::Seen(Some(7))), call(40, 50, Effect::Seen(None))]));
    }
}
