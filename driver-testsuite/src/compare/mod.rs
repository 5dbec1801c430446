//! [`Comparison`]: several drivers side by side, for an operator who chooses a back end.
//!
//! It is tables of names and cells, made here once and shown in three forms. It ranks no driver: it marks the best
//! figure of a row, and says where figures cannot be compared.

mod html;
mod rows;
mod text;

use std::collections::BTreeSet;

use crate::report::Report;

/// Several reports side by side.
#[derive(Debug, Clone)]
pub struct Comparison<'a> {
    reports: &'a [Report],
    /// The drivers: a column each.
    pub columns: Vec<String>,
    pub sections: Vec<Section>,
    /// Why some figures cannot be compared.
    pub cautions: Vec<String>,
}

/// Rows about one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub title: &'static str,
    pub rows: Vec<Row>,
}

/// One line of the comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub name: String,
    /// A cell for each column.
    pub cells: Vec<String>,
    /// The column with the best figure, where one is better than the others.
    pub best: Option<usize>,
}

impl<'a> Comparison<'a> {
    pub fn of(reports: &'a [Report]) -> Self {
        let sections = rows::all(reports).into_iter().filter(|section| !section.rows.is_empty()).collect();
        Comparison { reports, columns: columns(reports), sections, cautions: cautions(reports) }
    }
}

/// The name and version of each driver, told apart where two are the same.
fn columns(reports: &[Report]) -> Vec<String> {
    let titles: Vec<String> = reports.iter().map(Report::title).collect();
    let name = |(number, title): (usize, &String)| {
        let before = titles[..number].iter().filter(|other| *other == title).count();
        if before == 0 { title.clone() } else { format!("{title} ({})", before + 1) }
    };
    titles.iter().enumerate().map(name).collect()
}

fn cautions(reports: &[Report]) -> Vec<String> {
    let differ = |what: &str, of: fn(&Report) -> String, so: &str| {
        let kinds: BTreeSet<String> = reports.iter().map(of).collect();
        let named = kinds.iter().cloned().collect::<Vec<_>>().join("; ");
        (kinds.len() > 1).then(|| format!("The {what} differ ({named}): {so}."))
    };
    let host = |report: &Report| {
        format!("{}, {} processors, {} MiB", report.host.system, report.host.processors, report.host.memory_mib)
    };
    let found = [
        differ("machines", host, "compare no times"),
        differ("profiles", |report| report.profile.to_string(), "compliance is not of the same thing"),
        differ("levels", |report| report.level.to_string(), "not the same cases were run"),
        differ("versions of the suite", |report| report.suite.clone(), "not the same cases were run"),
    ];
    found.into_iter().flatten().collect()
}
