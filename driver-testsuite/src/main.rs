//! The program `driver-testsuite`: judges a driver of which it knows a command line or an address.

mod cli;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    cli::run().await
}
