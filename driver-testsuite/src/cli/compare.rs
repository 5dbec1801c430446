//! `driver-testsuite compare`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use driver_testsuite::Report;
use driver_testsuite::compare::Comparison;

use super::Done;

#[derive(Args)]
pub(super) struct Arguments {
    /// The report.json of each driver.
    #[arg(required = true, num_args = 2.., value_name = "REPORT")]
    reports: Vec<PathBuf>,
    /// Writes a page with charts.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes a page of Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

pub(super) fn compare(arguments: &Arguments) -> Done {
    let reports = arguments.reports.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
    let comparison = Comparison::of(&reports);
    anstream::print!("{comparison}");
    write(arguments.html.as_deref(), || comparison.to_html())?;
    write(arguments.markdown.as_deref(), || comparison.to_markdown())?;
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<Report, Box<dyn Error>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|problem| format!("{shown} cannot be read: {problem}"))?;
    Report::from_json(&text).map_err(|problem| {
        let cause = problem.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{shown}: {problem}{cause}").into()
    })
}

fn write(file: Option<&Path>, text: impl FnOnce() -> String) -> Result<(), Box<dyn Error>> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, text()).map_err(|problem| format!("{} cannot be written: {problem}", file.display()).into())
}
