//! What each request to a registry asks of its driver, and the S3 driver of its server: counted, and held against the page
//! that tells it.

mod bench;
mod count;
mod image;
mod work;

use std::path::Path;

use super::workshop::Workshop;
use crate::{Outcome, root};
use bench::Bench;

/// Its table is what was counted; the rest of it is written by people.
const PAGE: &str = "docs/performance/requests.md";

/// Counts on the server at `url`, which notes each request in `access_log`.
pub(super) fn check(workshop: &Workshop, parameters: &[(&'static str, String)], access_log: &Path) -> Outcome<String> {
    let mut bench = Bench::start(workshop, parameters, access_log)?;
    work::push(&mut bench)?;
    work::pull(&mut bench)?;
    work::redirect(&mut bench)?;
    let table = bench.end()?;
    let page = std::fs::read_to_string(root::path(PAGE))?;
    let told: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
    if told == table.lines().collect::<Vec<_>>() {
        return Ok(format!("{} requests cost what {PAGE} says", told.len().saturating_sub(2)));
    }
    let counted = workshop.kept("requests.md");
    std::fs::write(&counted, &table)?;
    let differs = table.lines().find(|line| !told.contains(line)).unwrap_or("a row is gone");
    Err(format!("{PAGE} is no longer true: {differs}\nIf that is meant, put in the table of {}.", counted.display())
        .into())
}
