//! All that was seen, and the table of it in Markdown. It must not know how it was measured.

use std::fmt::Write as _;

use serde::Serialize;

use super::measure::{Measured, median};
use super::work::Work;

#[derive(Default, Serialize)]
pub(super) struct Results {
    pub(super) machine: String,
    pub(super) large_mib: u64,
    pub(super) clients: usize,
    /// In the order in which they are shown.
    pub(super) subjects: Vec<String>,
    /// Those of one work and one subject stand for its rounds.
    pub(super) seen: Vec<Seen>,
    pub(super) memory: Vec<Memory>,
    pub(super) scale: Vec<Point>,
}

#[derive(Serialize)]
pub(super) struct Seen {
    pub(super) work: Work,
    pub(super) subject: String,
    #[serde(flatten)]
    pub(super) measured: Measured,
}

/// The largest proportional set size of a tree of processes in one turn.
#[derive(Serialize)]
pub(super) struct Memory {
    pub(super) subject: String,
    pub(super) peak_mib: f64,
}

/// CPU-ms of one operation on a store of so many tags, repositories and blobs.
#[derive(Serialize)]
pub(super) struct Point {
    pub(super) operation: &'static str,
    pub(super) subject: String,
    pub(super) size: usize,
    pub(super) cpu_ms: f64,
}

impl Results {
    /// What was measured, in the order of the table.
    pub(super) fn works(&self) -> Vec<Work> {
        super::work::ALL.into_iter().filter(|work| self.seen.iter().any(|seen| seen.work == *work)).collect()
    }

    /// The middle of the rounds.
    fn middle(&self, work: Work, subject: &str, value: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
        let rounds = self.seen.iter().filter(|seen| seen.work == work && seen.subject == subject);
        median(rounds.filter_map(|seen| value(&seen.measured)))
    }

    /// CPU-ms for a MiB, or for one.
    pub(super) fn cost(&self, work: Work, subject: &str) -> Option<f64> {
        self.middle(work, subject, |measured| measured.cpu_ms).map(|cost| cost / self.units(work))
    }

    fn units(&self, work: Work) -> f64 {
        if work.is_bulk() { self.large_mib as f64 } else { 1.0 }
    }

    pub(super) fn peak_mib(&self, subject: &str) -> Option<f64> {
        median(self.memory.iter().filter(|memory| memory.subject == subject).map(|memory| memory.peak_mib))
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = format!("{}; {} clients for what is small, 2 for what is large\n", self.machine, self.clients);
        text.push_str(
            "\nCPU time of all processes of a registry, in the brackets how many times that of the first:\n\n",
        );
        self.costs(&mut text);
        text.push_str("\nRate, and the milliseconds that half, 95 and 99 of a hundred clients waited at most:\n\n");
        self.rates(&mut text);
        if !self.scale.is_empty() {
            text.push_str("\nCPU-µs of one operation on a store with so many tags, repositories and blobs:\n\n");
            self.curve(&mut text);
        }
        text
    }

    fn costs(&self, text: &mut String) {
        self.head(text, &["work", "budget"]);
        for work in self.works() {
            let first = self.subjects.first().and_then(|subject| self.cost(work, subject));
            let costs = self.subjects.iter().map(|subject| compared(self.cost(work, subject), first, work));
            let title = work.title(self.large_mib);
            row(text, [title, format!("≤ {}", with_unit(work.budget(), work))].into_iter().chain(costs));
        }
        let first = self.subjects.first().and_then(|subject| self.peak_mib(subject));
        let peaks = self.subjects.iter().map(|subject| match (self.peak_mib(subject), first) {
            (Some(peak), Some(first)) => format!("{peak:.0} MiB ({:.1})", peak / first),
            _ => "-".to_owned(),
        });
        row(text, ["peak memory (PSS)".to_owned(), "≤ 64 MiB".to_owned()].into_iter().chain(peaks));
    }

    fn rates(&self, text: &mut String) {
        self.head(text, &["work"]);
        for work in self.works() {
            let cells = self.subjects.iter().map(|subject| {
                let value = |pick: fn(&Measured) -> f64| self.middle(work, subject, |measured| Some(pick(measured)));
                let rate = value(|measured| measured.per_second).map(|rate| rate * self.units(work));
                let waits = [value(|m| m.p50), value(|m| m.p95), value(|m| m.p99)].map(Option::unwrap_or_default);
                let unit = if work.is_bulk() { "MiB/s" } else { "/s" };
                rate.map_or("-".to_owned(), |rate| {
                    format!("{rate:.0} {unit}; {:.2}, {:.2}, {:.2}", waits[0], waits[1], waits[2])
                })
            });
            row(text, [work.title(self.large_mib)].into_iter().chain(cells));
        }
    }

    fn curve(&self, text: &mut String) {
        let sizes = self.sizes();
        row(
            text,
            ["operation".to_owned(), "registry".to_owned()].into_iter().chain(sizes.iter().map(usize::to_string)),
        );
        row(text, std::iter::repeat_n("---".to_owned(), sizes.len() + 2));
        for (operation, subject) in self.curves() {
            let cells = sizes.iter().map(|size| {
                let point = self.point(operation, &subject, *size);
                point.map_or("-".to_owned(), |cost| format!("{:.0}", cost * 1e3))
            });
            row(text, [operation.to_owned(), subject.clone()].into_iter().chain(cells));
        }
    }

    fn head(&self, text: &mut String, first: &[&str]) {
        let names = first.iter().map(ToString::to_string).chain(self.subjects.iter().cloned());
        row(text, names);
        row(text, std::iter::repeat_n("---".to_owned(), first.len() + self.subjects.len()));
    }

    pub(super) fn sizes(&self) -> Vec<usize> {
        let sizes: std::collections::BTreeSet<_> = self.scale.iter().map(|point| point.size).collect();
        sizes.into_iter().collect()
    }

    /// Each operation of each subject, once.
    pub(super) fn curves(&self) -> Vec<(&'static str, String)> {
        let mut curves: Vec<_> = self.scale.iter().map(|point| (point.operation, point.subject.clone())).collect();
        curves.sort();
        curves.dedup();
        curves
    }

    /// CPU-ms.
    pub(super) fn point(&self, operation: &str, subject: &str, size: usize) -> Option<f64> {
        let at = |point: &&Point| point.operation == operation && point.subject == subject && point.size == size;
        self.scale.iter().find(at).map(|point| point.cpu_ms)
    }
}

fn row(text: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<_> = cells.into_iter().collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn compared(cost: Option<f64>, first: Option<f64>, work: Work) -> String {
    match (cost, first) {
        (Some(cost), Some(first)) => format!("{} ({:.1})", with_unit(cost, work), cost / first),
        (Some(cost), None) => with_unit(cost, work),
        (None, _) => "-".to_owned(),
    }
}

pub(super) fn with_unit(cost: f64, work: Work) -> String {
    match cost {
        _ if work.is_bulk() => format!("{cost:.2} ms/MiB"),
        1.0.. => format!("{cost:.1} ms"),
        _ => format!("{:.0} µs", cost * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(work: Work, subject: &str, cpu_ms: f64) -> Seen {
        let measured = Measured { steps: 1, cpu_ms: Some(cpu_ms), per_second: 2.0, p50: 1.0, p95: 2.0, p99: 3.0 };
        Seen { work, subject: subject.to_owned(), measured }
    }

    #[test]
    fn the_table_has_the_middle_of_the_rounds_and_compares_with_the_first() {
        let rounds = [("a", 0.05), ("a", 0.06), ("a", 0.9), ("b", 0.12), ("b", 0.12), ("b", 0.12)];
        let seen = rounds.map(|(subject, cost)| seen(Work::GetManifest, subject, cost)).into_iter();
        let results = Results { subjects: vec!["a".into(), "b".into()], seen: seen.collect(), ..Results::default() };
        let table = results.markdown();
        assert!(table.contains("| GET of a manifest by tag | ≤ 60 µs | 60 µs (1.0) | 120 µs (2.0) |"), "{table}");
    }

    #[test]
    fn bulk_is_counted_by_the_mebibyte() {
        let seen = vec![seen(Work::PullBlob, "a", 12.8)];
        let results = Results { large_mib: 128, subjects: vec!["a".into()], seen, ..Results::default() };
        assert!(results.markdown().contains("0.10 ms/MiB (1.0)"), "{}", results.markdown());
    }
}
