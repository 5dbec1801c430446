//! Many clients that push and pull large blobs at once, while the memory of registry and driver is watched.
//!
//! It moves a fixed number of bytes over loopback and stops.

pub(super) mod client;
pub(crate) mod memory;

use std::thread::{self, ScopedJoinHandle};

use super::registry::Site;
use super::report::Report;
use super::workshop::Workshop;
use crate::Outcome;
use client::{Blob, Failure};
use memory::Watch;

/// Half of them push a blob of their own, the others pull a common one.
const CLIENTS: u64 = 50;
/// What registry and driver together may use at any moment.
const MEMORY_MAX_MIB: u64 = 128;

pub(super) fn check(workshop: &Workshop, report: &mut Report, blob_mib: u64) {
    report.check(&format!("{CLIENTS} clients with blobs of {blob_mib} MiB"), || flat_memory(workshop, blob_mib));
}

fn flat_memory(workshop: &Workshop, blob_mib: u64) -> Outcome<String> {
    let site = Site::new(workshop, "load", "filesystem")?;
    let registry = site.start()?;
    let common = Blob::new(0, blob_mib << 20);
    client::push(&registry.address, &common).map_err(|problem| problem.to_string())?;
    let watch = Watch::begin(registry.id());
    let failures = all_clients(&registry.address, &common, blob_mib << 20);
    let peak_mib = watch.end() >> 20;
    site.clear_away(registry)?;
    match failures.first() {
        Some(first) => Err(format!("{} clients failed, the first: {first}", failures.len()).into()),
        None if peak_mib > MEMORY_MAX_MIB => Err(format!("peak memory {peak_mib} MiB, over {MEMORY_MAX_MIB}").into()),
        None => Ok(format!("peak memory {peak_mib} MiB")),
    }
}

fn all_clients(address: &str, common: &Blob, size: u64) -> Vec<String> {
    let work = |number: u64| match number % 2 {
        0 => client::push(address, &Blob::new(number + 1, size)),
        _ => client::pull(address, common),
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || work(number))).collect();
        clients.into_iter().filter_map(failure).collect()
    })
}

fn failure(client: ScopedJoinHandle<'_, Result<(), Failure>>) -> Option<String> {
    match client.join() {
        Ok(outcome) => outcome.err().map(|problem| problem.to_string()),
        Err(_) => Some("a client panicked".to_owned()),
    }
}
