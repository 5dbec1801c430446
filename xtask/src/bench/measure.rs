//! One measurement: some clients do one kind of work for a while, and what that took is noted.
//!
//! It must not know what the work is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::usage::seconds_of_tree;
use crate::Outcome;
use crate::http::Client;

/// How many clients, and for how long.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    pub(super) clients: usize,
    pub(super) lasts: Duration,
    /// At most so many times in all.
    pub(super) steps_max: u64,
}

/// What was seen.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Measured {
    pub(super) steps: u64,
    /// CPU-ms of the registry's processes for one step; nothing where they are not known.
    pub(super) cpu_ms: Option<f64>,
    pub(super) per_second: f64,
    /// Milliseconds.
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
}

type Step<'a> = dyn Fn(&mut Client, u64) -> Outcome + Sync + 'a;

/// Has clients do `step` again and again at `address`.
pub(super) fn measure(address: &str, process: Option<u32>, effort: Effort, step: &Step<'_>) -> Outcome<Measured> {
    let before = process.map(seconds_of_tree);
    let begun = Instant::now();
    let mut latencies = all_clients(address, effort, begun, step)?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = process.map(seconds_of_tree).zip(before).map(|(after, before)| after - before);
    latencies.sort_by(f64::total_cmp);
    let steps = latencies.len() as u64;
    if steps == 0 {
        return Err("nothing was done in the time given".into());
    }
    Ok(Measured {
        steps,
        cpu_ms: cpu.map(|cpu| cpu * 1e3 / steps as f64),
        per_second: steps as f64 / seconds,
        p50: percentile(&latencies, 50),
        p95: percentile(&latencies, 95),
        p99: percentile(&latencies, 99),
    })
}

fn all_clients(address: &str, effort: Effort, begun: Instant, step: &Step<'_>) -> Outcome<Vec<f64>> {
    let next = AtomicU64::new(0);
    let one = || one_client(address, effort, begun, &next, step).map_err(|problem| problem.to_string());
    let outcomes: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..effort.clients).map(|_| scope.spawn(one)).collect();
        clients.into_iter().map(|client| client.join().unwrap_or_else(|_| Err("a client panicked".into()))).collect()
    });
    let latencies: Result<Vec<_>, String> = outcomes.into_iter().collect();
    Ok(latencies?.concat())
}

/// The milliseconds of each step of one client. Each does one at least.
fn one_client(address: &str, effort: Effort, begun: Instant, next: &AtomicU64, step: &Step<'_>) -> Outcome<Vec<f64>> {
    let mut client = Client::open(address)?;
    let mut latencies = Vec::new();
    while latencies.is_empty() || begun.elapsed() < effort.lasts {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= effort.steps_max {
            break;
        }
        let asked = Instant::now();
        step(&mut client, number)?;
        latencies.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    Ok(latencies)
}

/// Of ordered values.
fn percentile(values: &[f64], percent: usize) -> f64 {
    values.get((values.len() * percent / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// The value in the middle.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!([50, 95, 99].map(|percent| percentile(&values, percent)), [101.0, 191.0, 199.0]);
        assert_eq!(percentile(&[7.0], 99), 7.0);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([]), None);
    }
}
