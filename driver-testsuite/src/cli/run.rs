//! `driver-testsuite run`.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{IsTerminal, Write, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use driver_testsuite::cases;
use driver_testsuite::report::{CaseReport, Verdict};
use driver_testsuite::{Ceiling, Demand, Level, Options, Profile, run as judge};

use super::Done;
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
    /// Only cases whose id contains this.
    #[arg(long, value_name = "PART")]
    filter: Vec<String>,
    /// Cases that run at once.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Makes the same random choices as the run that told it.
    #[arg(long)]
    seed: Option<u64>,
    /// A file that names cases which are known to fail, one a line; the run is red when one of them passes.
    #[arg(long, value_name = "FILE")]
    expect_fail: Option<PathBuf>,
    /// Says every case, also where nobody watches.
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

pub(super) async fn run(arguments: Arguments) -> Done {
    let target = arguments.target.target()?;
    let options = arguments.options()?;
    let report = judge(&target, &options).await?;
    if stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    println!("{}", report.summary());
    Ok(if report.is_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Arguments {
    fn options(&self) -> Result<Options, Box<dyn Error>> {
        let CeilingArguments { max_requests, max_bytes, max_cost, price_requests, price_gib } = self.ceiling;
        Ok(Options {
            profile: self.profile,
            level: self.level,
            filter: self.filter.clone(),
            jobs: self.jobs,
            seed: self.seed.unwrap_or_else(|| Options::default().seed),
            ceiling: Ceiling { requests: max_requests, bytes: max_bytes, cost: max_cost, price_requests, price_gib },
            expected_failures: self.expect_fail.as_deref().map_or(Ok(BTreeSet::new()), read_expectations)?,
            measure: false,
            progress: Box::new(|_| {}),
        })
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

fn say(case: &CaseReport) {
    println!("{case}");
}

/// A failure of what need not be is no alarm in a log.
fn say_bad(case: &CaseReport) {
    if case.verdict.is_bad() || (matches!(case.verdict, Verdict::Skipped(_)) && case.demand == Demand::Must) {
        println!("{case}");
    }
}

/// One line that is written over, and above it what is not as it should be.
fn show(case: &CaseReport) {
    eprint!("\r\x1b[K");
    say_bad(case);
    eprint!("{}", case.id);
    // With the terminal gone there is nobody to show it to.
    let _ = stderr().flush();
}
