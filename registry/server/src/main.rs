//! `bulkhead`: the registry, and its two embedded drivers as further faces of the same executable.

mod cli;
mod config;
mod driver;
mod embedded;
mod http;
mod logs;
mod schedule;
mod start;
mod storage;
mod task;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
