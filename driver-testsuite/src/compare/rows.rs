//! The rows of a comparison.

use super::{Row, Section};
use crate::case::Demand;
use crate::report::{Latency, Measurements, ProcessCost, Report, Throughput, units};

/// Stands where a report says nothing.
const NOTHING: &str = "–";

pub(super) fn all(reports: &[Report]) -> Vec<Section> {
    let section = |title, rows| Section { title, rows };
    vec![
        section("Conformance", conformance(reports)),
        section("Cases passed, of those about what the driver offers", groups(reports)),
        section("Capabilities", capabilities(reports)),
        section("Latency: p50 / p90 / p99", latencies(reports)),
        section("Throughput", throughputs(reports)),
        section("The driver's process while it was measured", processes(reports)),
    ]
}

/// A row of which no figure is better than another.
fn row(name: impl Into<String>, reports: &[Report], cell: impl Fn(&Report) -> String) -> Row {
    Row { name: name.into(), cells: reports.iter().map(cell).collect(), best: None }
}

/// A row of figures, of which the least is the best.
fn figures(name: String, figures: &[Option<f64>], cells: Vec<String>) -> Row {
    let known = figures.iter().enumerate().filter_map(|(column, figure)| Some((column, (*figure)?)));
    let known: Vec<(usize, f64)> = known.collect();
    let least = known.iter().copied().min_by(|one, other| one.1.total_cmp(&other.1));
    let alone = |best: f64| known.iter().filter(|(_, figure)| *figure <= best).count() == 1 && known.len() > 1;
    let best = least.filter(|(_, best)| alone(*best)).map(|(column, _)| column);
    Row { name, cells, best }
}

fn conformance(reports: &[Report]) -> Vec<Row> {
    let count = |demand| {
        move |report: &Report| {
            let tally = report.tally_of(demand);
            format!("{}/{}", tally.passed, tally.offered())
        }
    };
    vec![
        row("profile", reports, |report| format!("{}, level {}", report.profile, report.level)),
        row("verdict", reports, verdict),
        row("MUST passed", reports, count(Demand::Must)),
        row("SHOULD passed", reports, count(Demand::Should)),
        row("failed", reports, |report| report.tally().failed.to_string()),
        row("skipped", reports, |report| report.tally().skipped.to_string()),
        row("not offered", reports, |report| report.tally().not_offered.to_string()),
    ]
}

fn verdict(report: &Report) -> String {
    let word = match (report.is_compliant(), report.is_kept()) {
        (true, _) => "compliant",
        (false, true) => "not shown",
        (false, false) => "NOT compliant",
    };
    word.to_owned()
}

fn groups(reports: &[Report]) -> Vec<Row> {
    let names = names(reports.iter().map(|report| report.groups().into_iter().map(|(name, _)| name.to_owned())));
    let cell = |report: &Report, name: &str| {
        let tally = report.groups().into_iter().find(|(group, _)| *group == name).map(|(_, tally)| tally);
        tally.map_or(NOTHING.to_owned(), |tally| format!("{}/{}", tally.passed, tally.offered()))
    };
    names.into_iter().map(|name| row(name.clone(), reports, |report| cell(report, &name))).collect()
}

fn capabilities(reports: &[Report]) -> Vec<Row> {
    let names = names(reports.iter().map(|report| report.capability_proofs().into_iter().map(|proof| proof.name)));
    let cell = |report: &Report, name: &str| {
        let proof = report.capability_proofs().into_iter().find(|proof| proof.name == name);
        proof.map_or(NOTHING.to_owned(), |proof| match proof.declared.as_str() {
            "true" | "false" => proof.standing.as_str().to_owned(),
            declared => format!("{declared}, {}", proof.standing.as_str()),
        })
    };
    names.into_iter().map(|name| row(name, reports, |report| cell(report, name))).collect()
}

fn latencies(reports: &[Report]) -> Vec<Row> {
    let names = operations(reports);
    let line = |name: String| {
        let found: Vec<_> = reports.iter().map(|report| latency(report, &name)).collect();
        let told = |latency: &Latency| [latency.p50_us, latency.p90_us, latency.p99_us].map(units::time).join(" / ");
        let medians: Vec<_> = found.iter().map(|found| found.map(|latency| latency.p50_us)).collect();
        figures(name, &medians, cells(&found, told))
    };
    names.into_iter().map(line).collect()
}

fn throughputs(reports: &[Report]) -> Vec<Row> {
    let line = |label: String| {
        let found: Vec<_> = reports.iter().map(|report| stream(report, &label)).collect();
        // The greatest rate is the least when it is negative.
        let rates: Vec<_> = found.iter().map(|found| found.map(|stream| -units::rate_of(stream))).collect();
        figures(label, &rates, cells(&found, |stream| units::rate(units::rate_of(stream))))
    };
    streams(reports).into_iter().map(line).collect()
}

fn processes(reports: &[Report]) -> Vec<Row> {
    let costs: Vec<Option<&ProcessCost>> =
        reports.iter().map(|report| report.measurements.as_ref()?.process.as_ref()).collect();
    if costs.iter().all(Option::is_none) {
        return Vec::new();
    }
    let memory: Vec<_> = costs.iter().map(|cost| cost.map(|cost| cost.peak_memory_mib)).collect();
    // A quick driver is given more to do in the same time, so that less CPU time is not better.
    let cpu = cells(&costs, |cost| format!("{:.2} s", cost.cpu_seconds));
    let most = cells(&costs, |cost| format!("{:.1} MiB", cost.peak_memory_mib));
    vec![Row { name: "CPU".to_owned(), cells: cpu, best: None }, figures("most memory".to_owned(), &memory, most)]
}

fn cells<T>(found: &[Option<&T>], told: impl Fn(&T) -> String) -> Vec<String> {
    found.iter().map(|found| found.map_or(NOTHING.to_owned(), &told)).collect()
}

fn measured(report: &Report) -> Option<&Measurements> {
    report.measurements.as_ref()
}

/// The operations that some report measured.
pub(super) fn operations(reports: &[Report]) -> Vec<String> {
    let of = |report| measured(report).into_iter().flat_map(|measured| &measured.operations);
    names(reports.iter().map(|report| of(report).map(|latency| latency.operation.clone())))
}

pub(super) fn latency<'a>(report: &'a Report, operation: &str) -> Option<&'a Latency> {
    measured(report)?.operations.iter().find(|latency| latency.operation == operation)
}

/// The labels of the throughputs that some report measured.
pub(super) fn streams(reports: &[Report]) -> Vec<String> {
    let of = |report| measured(report).into_iter().flat_map(|measured| &measured.streams);
    names(reports.iter().map(|report| of(report).map(Throughput::label)))
}

pub(super) fn stream<'a>(report: &'a Report, label: &str) -> Option<&'a Throughput> {
    measured(report)?.streams.iter().find(|stream| stream.label() == label)
}

/// Each name once, in the order in which they first come.
fn names<T: PartialEq>(lists: impl Iterator<Item = impl Iterator<Item = T>>) -> Vec<T> {
    let mut names = Vec::new();
    for name in lists.flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
