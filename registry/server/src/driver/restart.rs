//! When a driver that died is started again, and when calls no longer wait for it. Pure: it is told the time.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::settings::RestartLimits;

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A driver that was ready for so long works, whatever happened to it before.
const STEADY: Duration = Duration::from_secs(10);

/// The deaths of one driver.
#[derive(Debug)]
pub(super) struct Restarts {
    limits: RestartLimits,
    /// Those within the time that the limits look back.
    recent: VecDeque<Instant>,
    /// Deaths without a steady life between them.
    in_a_row: u32,
    given_up: bool,
}

/// What follows from a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) restart_after: Duration,
    /// Too many deaths: calls fail at once until the driver works again.
    pub(super) give_up_waiting: bool,
}

impl Restarts {
    pub(super) fn new(limits: RestartLimits) -> Self {
        Restarts { limits, recent: VecDeque::new(), in_a_row: 0, given_up: false }
    }

    /// `ready_since`: since when the driver was ready; `None` when it never was.
    pub(super) fn died(&mut self, now: Instant, ready_since: Option<Instant>) -> Verdict {
        let lived_long = ready_since.is_some_and(|since| now - since >= STEADY);
        self.in_a_row = if lived_long { 1 } else { self.in_a_row.saturating_add(1) };
        self.recent.retain(|death| now - *death <= self.limits.within);
        self.recent.push_back(now);
        // Backing off thins the deaths out, and is no sign of health; a life is.
        self.given_up = self.recent.len() >= self.limits.deaths || (self.given_up && !lived_long);
        Verdict { restart_after: backoff(self.in_a_row), give_up_waiting: self.given_up }
    }
}

/// At once after the first death, then doubling.
fn backoff(in_a_row: u32) -> Duration {
    let Some(doublings) = in_a_row.checked_sub(2) else { return Duration::ZERO };
    let delay = BACKOFF_MIN.saturating_mul(2_u32.saturating_pow(doublings)).min(BACKOFF_MAX);
    delay.mul_f64(rand::random_range(0.8..=1.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dies at once after each start, `deaths` times.
    fn die(restarts: &mut Restarts, now: &mut Instant, deaths: u32) -> Vec<Verdict> {
        let died = |_| {
            let verdict = restarts.died(*now, Some(*now));
            *now += verdict.restart_after + Duration::from_millis(10);
            verdict
        };
        (0..deaths).map(died).collect()
    }

    #[test]
    fn restarts_at_once_and_then_ever_slower() {
        let verdicts = die(&mut Restarts::new(RestartLimits::default()), &mut Instant::now(), 14);
        assert_eq!(verdicts[0].restart_after, Duration::ZERO);
        for (verdict, expected) in verdicts[1..].iter().zip([100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600]) {
            let delay = verdict.restart_after.as_millis();
            assert!((expected * 8 / 10..=expected * 12 / 10).contains(&delay), "{delay} ms, not {expected} ms");
        }
        assert!(verdicts.iter().all(|verdict| verdict.restart_after <= BACKOFF_MAX * 12 / 10));
    }

    #[test]
    fn the_fifth_death_in_a_minute_ends_the_waiting_until_a_long_life() {
        let (mut restarts, mut now) = (Restarts::new(RestartLimits::default()), Instant::now());
        let verdicts = die(&mut restarts, &mut now, 14);
        let given_up: Vec<bool> = verdicts.iter().map(|verdict| verdict.give_up_waiting).collect();
        assert_eq!(given_up, [vec![false; 4], vec![true; 10]].concat());
        let ready = now + Duration::from_secs(60);
        now = ready + STEADY;
        let verdict = restarts.died(now, Some(ready));
        assert_eq!(verdict, Verdict { restart_after: Duration::ZERO, give_up_waiting: false });
    }

    #[test]
    fn deaths_far_apart_are_forgotten() {
        let (mut restarts, start) = (Restarts::new(RestartLimits::default()), Instant::now());
        for minutes in 0..20 {
            let died = start + Duration::from_secs(100 * minutes);
            let verdict = restarts.died(died + STEADY, Some(died));
            assert_eq!(verdict, Verdict { restart_after: Duration::ZERO, give_up_waiting: false });
        }
    }
}
