//! The command line. It says what was asked for in the library's words and shows what came of it.
//!
//! Exit codes: 0 the driver keeps what was looked at, 1 it does not, 2 it could not be asked.

mod compare;
mod explain;
mod list;
mod record;
mod run;
mod screen;
mod target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Nothing was found out.
const NOT_ASKED: u8 = 2;

/// Says which clauses of the StorageDriver contract a driver keeps.
#[derive(Parser)]
#[command(name = "driver-testsuite", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judges a driver.
    Run(Box<run::Arguments>),
    /// Lays the reports of several drivers side by side.
    Compare(compare::Arguments),
    /// Writes down what is asked of a driver and what it answers.
    Record(record::Arguments),
    /// Names the cases.
    List(list::Arguments),
    /// Says what a case looks at, and the clauses it stands for.
    Explain(explain::Arguments),
}

pub(crate) async fn run() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) => Box::pin(run::run(*arguments)).await,
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Record(arguments) => record::record(arguments).await,
        Command::List(arguments) => list::list(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
    };
    done.unwrap_or_else(|problem| {
        let chain = std::iter::successors(problem.source(), |&cause| cause.source());
        let causes: String = chain.map(|cause| format!(": {cause}")).collect();
        eprintln!("driver-testsuite: {problem}{causes}");
        ExitCode::from(NOT_ASKED)
    })
}

/// What a command comes to, or a sentence about why it could not be carried out.
type Done = Result<ExitCode, Box<dyn std::error::Error>>;
