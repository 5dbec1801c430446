//! Chores of this repository: `cargo xtask --help`.

mod bench;
mod bindings;
mod http;
mod root;
mod schema;
mod test_all;
#[cfg(test)]
mod tidy;
mod traces;
#[cfg(test)]
mod tree;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a chore gives, or a sentence about why it could not.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[derive(Parser)]
#[command(about = "Chores of this repository")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Measures what the registry costs, beside its peers.
    Bench(bench::Arguments),
    /// Writes the protocol's bindings anew from its .proto files.
    Bindings,
    /// Writes anew what the registry asks of its store, which the conformance suite asks of drivers.
    RecordTraces,
    /// Notes what was added to the protocol, so that it never changes again.
    Schema(schema::Arguments),
    /// Runs the checks that need more than Rust: the OCI suite, real clients, faults, packages.
    TestAll(test_all::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Bench(arguments) => bench::run(&arguments),
        Chore::Bindings => bindings::write(),
        Chore::RecordTraces => traces::record(),
        Chore::Schema(arguments) => schema::write(&arguments),
        Chore::TestAll(arguments) => test_all::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}
