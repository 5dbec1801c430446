//! What operations cost, as charts and as a table.

use maud::{Markup, html};

use crate::report::svg::{self, Row};
use crate::report::{Latency, Measurements, Throughput, units};

pub(super) fn section(measured: &Measurements) -> Markup {
    html! {
        section {
            h2 { "What operations cost" }
            p.note { "On a driver that did nothing else; latency is of one call at a time." }
            @if !measured.operations.is_empty() {
                h3 { "Latency" }
                (marks())
                (svg::ranges("Latency", &latencies(&measured.operations)))
                (table(&measured.operations))
            }
            @if !measured.streams.is_empty() {
                h3 { "Throughput" }
                (throughput(&measured.streams))
            }
            @if let Some(process) = &measured.process {
                p { "The driver's process used " (units::process(process)) " while this was measured." }
            }
            @if !measured.omitted.is_empty() {
                h3 { "Not measured" }
                ul { @for omitted in &measured.omitted { li { (omitted) } } }
            }
        }
    }
}

/// What the marks of a range mean.
pub(crate) fn marks() -> Markup {
    html! { p.legend { span { "● p50" } span { "• p90" } span { "❙ p99" } span { "logarithmic" } } }
}

fn latencies(operations: &[Latency]) -> Vec<Row<[f64; 3]>> {
    let row = |latency: &Latency| Row {
        label: latency.operation.clone(),
        series: 0,
        value: [latency.p50_us, latency.p90_us, latency.p99_us],
    };
    operations.iter().map(row).collect()
}

fn throughput(streams: &[Throughput]) -> Markup {
    let row = |stream: &Throughput| Row { label: stream.label(), series: 0, value: units::rate_of(stream) };
    svg::bars("Throughput", &streams.iter().map(row).collect::<Vec<_>>(), units::rate)
}

fn table(operations: &[Latency]) -> Markup {
    html! {
        details {
            summary { "as a table" }
            table.numbers {
                thead { tr { @for head in ["operation", "calls", "p50", "p90", "p99", "max"] { th { (head) } } } }
                tbody {
                    @for latency in operations {
                        tr {
                            td { (latency.operation) }
                            td { (latency.calls) }
                            @for time in [latency.p50_us, latency.p90_us, latency.p99_us, latency.max_us] {
                                td { (units::time(time)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
