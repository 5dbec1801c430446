//! `driver-testsuite run`.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use driver_testsuite::cases;
use driver_testsuite::{Ceiling, Level, Options, Profile, Target, run as judge};

use super::Done;
use super::screen::Screen;
use super::target::TargetArguments;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    /// What is demanded of the driver.
    #[arg(long, value_enum, default_value = "registry")]
    profile: Profile,
    /// The longest cases to run.
    #[arg(long, value_enum, default_value = "full")]
    level: Level,
    /// Only cases whose id contains this. May be repeated: then cases of any of them.
    #[arg(long, value_name = "PART")]
    filter: Vec<String>,
    /// Cases that run at once.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Makes the same random choices as the run that told it.
    #[arg(long)]
    seed: Option<u64>,
    /// Makes so many runs, each with other random choices, and is green when all are.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with_all = ["report", "format"])]
    repeat: u64,
    /// A file that names cases which are known to fail, one a line; the run is red when one of them passes.
    #[arg(long, value_name = "FILE")]
    expect_fail: Option<PathBuf>,
    /// A folder for the report in every form: report.json, junit.xml, report.html, SCORECARD.md, badge.svg, and the
    /// transcripts of failures. A whole run is measured then.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Measures what operations cost on a quiet driver, after the cases.
    #[arg(long)]
    measure: bool,
    /// What is written to standard output; with json, lines for people go to standard error.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Says every case, and not only what is bad.
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    ceiling: CeilingArguments,
}

/// Beyond a ceiling no call is made any more, and the cases that need one are skipped.
#[derive(Args)]
#[command(next_help_heading = "Ceilings, for a back end that costs money")]
struct CeilingArguments {
    /// Most calls.
    #[arg(long, value_name = "N")]
    max_requests: Option<u64>,
    /// Most bytes of content, in both directions together.
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
    /// Most money, at the prices given.
    #[arg(long, value_name = "COST", requires = "prices")]
    max_cost: Option<f64>,
    /// What a thousand calls cost.
    #[arg(long, value_name = "COST", default_value_t = 0.0, group = "prices")]
    price_requests: f64,
    /// What a GiB of content in either direction costs.
    #[arg(long, value_name = "COST", default_value_t = 0.0, group = "prices")]
    price_gib: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) async fn run(arguments: Arguments) -> Done {
    let target = arguments.target.target()?;
    if arguments.repeat != 1 {
        return Box::pin(repeat(&arguments, &target)).await;
    }
    let screen = Arc::new(Screen::new(arguments.verbose, arguments.format == Format::Json));
    let report = Box::pin(judge(&target, &arguments.options(&screen)?)).await?;
    screen.finish(&report);
    if arguments.format == Format::Json {
        stdout().write_all(report.to_json()?.as_bytes())?;
    }
    if let Some(folder) = &arguments.report {
        let written = report.write_to(folder);
        written.map_err(|problem| format!("the report cannot be written to {}: {problem}", folder.display()))?;
    }
    Ok(if report.is_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Run after run, on a driver that is started anew.
async fn repeat(arguments: &Arguments, target: &Target) -> Done {
    let mut kept = 0;
    for number in 0..arguments.repeat {
        let screen = Arc::new(Screen::new(arguments.verbose, false));
        let mut options = arguments.options(&screen)?;
        options.seed = arguments.seed.map_or(options.seed, |seed| seed.wrapping_add(number));
        let report = Box::pin(judge(target, &options)).await?;
        screen.finish(&report);
        kept += u64::from(report.is_kept());
    }
    println!("{kept} of {} runs are clean", arguments.repeat);
    Ok(if kept == arguments.repeat { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Arguments {
    fn options(&self, screen: &Arc<Screen>) -> Result<Options, Box<dyn Error>> {
        let CeilingArguments { max_requests, max_bytes, max_cost, price_requests, price_gib } = self.ceiling;
        Ok(Options {
            profile: self.profile,
            level: self.level,
            filter: self.filter.clone(),
            jobs: self.jobs,
            seed: self.seed.unwrap_or_else(|| Options::default().seed),
            ceiling: Ceiling { requests: max_requests, bytes: max_bytes, cost: max_cost, price_requests, price_gib },
            expected_failures: self.expect_fail.as_deref().map_or(Ok(BTreeSet::new()), read_expectations)?,
            measure: self.measure || (self.report.is_some() && self.is_whole()),
            progress: {
                let screen = Arc::clone(screen);
                Box::new(move |progress| screen.show(progress))
            },
        })
    }

    /// Whether the run can show compliance, so that its report is one to keep.
    fn is_whole(&self) -> bool {
        self.filter.is_empty() && self.level >= Level::Full
    }
}

/// The ids in a file, without empty lines and what follows a `#`.
fn read_expectations(file: &Path) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let text =
        std::fs::read_to_string(file).map_err(|problem| format!("{} cannot be read: {problem}", file.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let ids: BTreeSet<String> = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
    match ids.iter().find(|id| !cases::all().any(|case| case.id == id.as_str())) {
        Some(unknown) => Err(format!("{}: there is no case {unknown}", file.display()).into()),
        None => Ok(ids),
    }
}
