//! A comparison as a page with charts.

use maud::{Markup, html};

use super::{Comparison, Section, rows};
use crate::report::svg::{self, Row};
use crate::report::{Report, Tally, legend, marks, page, parts, units};

impl Comparison<'_> {
    /// The page.
    pub fn to_html(&self) -> String {
        let body = html! {
            header {
                h1 { "Drivers compared" }
                p.legend { @for (number, name) in self.columns.iter().enumerate() { (key(number, name)) } }
                @for caution in &self.cautions { p.why { (caution) } }
            }
            section {
                h2 { "Cases" }
                (legend(Tally::of(self.reports.iter().flat_map(|report| &report.cases))))
                (self.tallies())
            }
            @for section in self.sections.iter() {
                section { h2 { (section.title) } (self.table(section)) }
            }
            (self.charts())
        };
        page("Drivers compared", &body, &html! {})
    }

    fn table(&self, section: &Section) -> Markup {
        html! {
            div.scroll {
                table {
                    thead { tr { th {} @for column in &self.columns { th { (column) } } } }
                    tbody {
                        @for row in &section.rows {
                            tr {
                                td.small { (row.name) }
                                @for (column, cell) in row.cells.iter().enumerate() {
                                    td.best[row.best == Some(column)] { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn tallies(&self) -> Markup {
        svg::stacks("Cases", &self.figures(|report| Some(parts(report.tally()))))
    }

    fn charts(&self) -> Markup {
        let (operations, streams) = (rows::operations(self.reports), rows::streams(self.reports));
        let ranges = |name: &str| svg::ranges(name, &self.figures(|report| percentiles(report, name)));
        let rates = |name: &str| svg::bars(name, &self.figures(|report| rate(report, name)), units::rate);
        html! {
            @if !operations.is_empty() {
                section { h2 { "Latency" } (marks()) @for name in &operations { h3 { (name) } (ranges(name)) } }
            }
            @if !streams.is_empty() {
                section { h2 { "Throughput" } @for name in &streams { h3 { (name) } (rates(name)) } }
            }
        }
    }

    /// A row for each driver that has the figure.
    fn figures<T>(&self, of: impl Fn(&Report) -> Option<T>) -> Vec<Row<T>> {
        let drivers = self.columns.iter().zip(self.reports).enumerate();
        let row = |(series, (label, report)): (usize, (&String, &Report))| {
            Some(Row { label: label.clone(), series, value: of(report)? })
        };
        drivers.filter_map(row).collect()
    }
}

fn key(number: usize, name: &str) -> Markup {
    let series = format!("series s{}", number % 6);
    html! { span { i class=(series) {} (name) } }
}

fn percentiles(report: &Report, operation: &str) -> Option<[f64; 3]> {
    rows::latency(report, operation).map(|latency| [latency.p50_us, latency.p90_us, latency.p99_us])
}

fn rate(report: &Report, label: &str) -> Option<f64> {
    rows::stream(report, label).map(units::rate_of)
}
