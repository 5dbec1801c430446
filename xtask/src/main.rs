//! Chores of this repository: `cargo xtask --help`.

mod bindings;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Chores of this repository")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Writes the protocol's bindings anew from its .proto files.
    Bindings,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Bindings => bindings::write(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}
