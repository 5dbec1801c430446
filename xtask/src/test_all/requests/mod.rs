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
    let counted: Vec<&str> = table.lines().collect();
    let differs =
        counted.iter().enumerate().find(|(row, line)| !told.get(*row).is_some_and(|told| is_same(told, line)));
    if differs.is_none() && told.len() == counted.len() {
        return Ok(format!("{} requests cost what {PAGE} says", told.len().saturating_sub(2)));
    }
    let file = workshop.kept("requests.md");
    std::fs::write(&file, &table)?;
    let differs = differs.map_or("a row is gone", |(_, line)| line);
    Err(format!("{PAGE} is no longer true: {differs}\nIf that is meant, put in the table of {}.", file.display())
        .into())
}

/// The calls are the same, and the requests but for one in twenty: when a session is taken over by the next request of an
/// upload, chance decides whether the one before had taken away its own records.
fn is_same(told: &str, counted: &str) -> bool {
    let [told, counted] = [told, counted].map(|row| row.split(" | ").collect::<Vec<_>>());
    let ([name, calls, requests], [counted_name, counted_calls, counted_requests]) = (&told[..], &counted[..]) else {
        return told == counted;
    };
    let total = |cell: &str| cell.split(':').next().and_then(|number| number.parse::<u32>().ok());
    let is_near = match (total(requests), total(counted_requests)) {
        (Some(one), Some(other)) => one.abs_diff(other) * 20 <= one,
        _ => requests == counted_requests,
    };
    (name, calls) == (counted_name, counted_calls) && is_near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_the_same_within_one_in_twenty_requests() {
        let row = |calls: &str, requests: &str| format!("| push | {calls} | {requests} |");
        let told = row("2: Get ×2", "100: GetObject ×100");
        assert!(is_same(&told, &row("2: Get ×2", "97: GetObject ×97")));
        assert!(!is_same(&told, &row("2: Get ×2", "94: GetObject ×94")));
        assert!(!is_same(&told, &row("2: Get, Put", "100: GetObject ×100")));
        assert!(!is_same(&row("1: Get", "1: GetObject"), &row("1: Get", "2: GetObject ×2")));
    }
}
