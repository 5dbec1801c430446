//! Two registries on one store: each serves at once what was pushed to the other, and goes on with its uploads.

use super::load::client::{Blob, Failure, pull, push, push_in_turns};
use super::registry::Site;
use crate::Outcome;

const BLOB: u64 = 24 << 20;
/// No multiple of any part: the registries have to hand over the rest of one as well.
const CHUNK: u64 = 3_500_000;
const ROUNDS: u64 = 4;

/// Runs two registries of the same configuration.
pub(super) fn check(site: &Site) -> Outcome<String> {
    let (one, other) = (site.start()?, site.start()?);
    for round in 0..ROUNDS {
        exchange(&one.address, &other.address, round).map_err(|problem| problem.to_string())?;
    }
    Ok(format!("{ROUNDS} rounds of 2 blobs of {} MiB", BLOB >> 20))
}

fn exchange(one: &str, other: &str, round: u64) -> Result<(), Failure> {
    let pushed = Blob::new(2 * round, BLOB);
    push(one, &pushed)?;
    pull(other, &pushed)?;
    let pushed = Blob::new(2 * round + 1, BLOB);
    push_in_turns(&[one, other], &pushed, CHUNK)?;
    pull(one, &pushed)?;
    pull(other, &pushed)
}
