//! A report as a page of Markdown, to be kept beside a driver's source.

use std::fmt::Write;

use super::{Demand, Latency, Level, Measurements, Report, Tally, units};
use crate::markdown::{cell, table};

impl Report {
    /// The page.
    pub fn to_scorecard(&self) -> String {
        let mut page = format!("# Scorecard of the driver {}\n\n**{}**\n\n", cell(&self.title()), self.meaning());
        page += &self.levels();
        page += &self.offered();
        page += &self.measurements.as_ref().map(costs).unwrap_or_default();
        page += &self.making();
        page
    }

    fn levels(&self) -> String {
        let row = |level: Level| {
            let cases = || self.cases.iter().filter(move |case| case.level == level);
            let of = |demand| Tally::of(cases().filter(move |case| case.demand == demand));
            let share = |tally: Tally| format!("{}/{}", tally.passed, tally.offered());
            let all = Tally::of(cases());
            let named = [all.skipped, all.not_offered].map(|count| count.to_string());
            let [skipped, not_offered] = named;
            vec![level.to_string(), share(of(Demand::Must)), share(of(Demand::Should)), skipped, not_offered]
        };
        let rows = [Level::Quick, Level::Full, Level::Long].into_iter().filter(|level| *level <= self.level).map(row);
        let head = ["level", "MUST passed", "SHOULD passed", "skipped", "not offered"];
        format!("{}\n", table(&head.map(String::from), rows))
    }

    fn offered(&self) -> String {
        let (proven, offered) = self.proven_capabilities();
        let row = |proof: super::Proof<'_>| {
            vec![format!("`{}`", proof.name), proof.declared.clone(), proof.standing.as_str().to_owned()]
        };
        let rows = self.capability_proofs().into_iter().map(row);
        let head = ["capability", "declared", "standing"].map(String::from);
        format!("## Capabilities: {proven}/{offered} offered ones proven\n\n{}\n", table(&head, rows))
    }

    fn making(&self) -> String {
        let mut lines = String::from("## How it was made\n\n");
        for (name, value) in self.facts() {
            // Writing into a String cannot fail.
            let _ = writeln!(lines, "- {name}: {}", cell(&value));
        }
        lines
    }
}

fn costs(measured: &Measurements) -> String {
    let row = |latency: &Latency| {
        let times = [latency.p50_us, latency.p90_us, latency.p99_us, latency.max_us].map(units::time);
        [vec![latency.operation.clone(), latency.calls.to_string()], times.to_vec()].concat()
    };
    let head = ["operation", "calls", "p50", "p90", "p99", "max"].map(String::from);
    let mut text = format!("## Latency, one call at a time\n\n{}\n", table(&head, measured.operations.iter().map(row)));
    let streams = measured.streams.iter();
    let rows = streams
        .map(|stream| vec![stream.operation.clone(), stream.streams.to_string(), units::rate(units::rate_of(stream))]);
    let head = ["operation", "streams", "throughput"].map(String::from);
    text += &format!("## Throughput\n\n{}\n", table(&head, rows));
    if let Some(process) = &measured.process {
        text += &format!("The driver's process used {} while this was measured.\n\n", units::process(process));
    }
    for omitted in &measured.omitted {
        text += &format!("Not measured: {}.\n\n", cell(omitted));
    }
    text
}
