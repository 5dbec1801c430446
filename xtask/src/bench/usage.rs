//! How much processor time processes have used. It reads `/proc` and knows nothing of a registry.

use std::fs;

use rustix::param::clock_ticks_per_second;

use crate::test_all::load::memory::children;

/// Seconds of the processor that a process and all below it have used, in user and in kernel mode.
pub(super) fn seconds_of_tree(root: u32) -> f64 {
    ticks_of_tree(root) as f64 / clock_ticks_per_second() as f64
}

fn ticks_of_tree(root: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{root}/stat")).unwrap_or_default();
    ticks(&stat).unwrap_or(0) + children(root).into_iter().map(ticks_of_tree).sum::<u64>()
}

/// The name of the program stands in parentheses, and may itself have some.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_count() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 120 34 9 9 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(154));
        assert!(seconds_of_tree(std::process::id()) < 3600.0);
    }
}
