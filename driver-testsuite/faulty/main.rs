//! A driver whose faults can be switched on: what the suite is tested with.
//!
//! Without faults it keeps every clause of `proto/README.md`, simply rather than quickly. It is written against the
//! contract alone and shares no code with other drivers nor with the suite, whose errors it would repeat.

mod configuration;
mod descriptors;
mod failure;
mod fault;
mod gate;
mod health;
mod hello;
mod launch;
mod linger;
mod paths;
mod redirect;
mod serve;
mod service;
mod store;
mod streams;
mod writers;

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::fault::Fault;
use crate::launch::{Asked, Launch};

type Problem = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(problem) => {
            log(&problem.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Problem> {
    match launch::read(std::env::args().skip(1))? {
        Asked::Faults => {
            io::stdout().write_all(fault::table().as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Asked::Serve(launch) => serve(launch),
    }
}

fn serve(launch: Launch) -> Result<ExitCode, Problem> {
    if Fault::LogWithoutMessage.on() {
        log(r#"{"timestamp": "1970-01-01T00:00:00Z", "level": "info"}"#);
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(serve::run(launch));
    // An operation that hangs must not keep the process from ending.
    runtime.shutdown_background();
    ended
}

/// Writes a line of plain text to the log. With standard error gone there is nobody to tell.
fn log(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
