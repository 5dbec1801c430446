//! `driver-testsuite record`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use driver_testsuite::Recorder;
use tokio::signal::unix::{SignalKind, signal};

use super::Done;
use super::target::socket_of;

/// Point the registry, or whoever calls the driver, at the socket of `--listen`, and end this with Ctrl-C.
#[derive(Args)]
pub(super) struct Arguments {
    /// The driver that somebody runs, at this socket.
    #[arg(long, value_name = "unix:PATH")]
    attach: String,
    /// Where callers find the driver meanwhile.
    #[arg(long, value_name = "unix:PATH")]
    listen: String,
    /// The file with the calls, one event a line of JSON.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) async fn record(arguments: Arguments) -> Done {
    let (driver, socket) = (socket_of("--attach", &arguments.attach)?, socket_of("--listen", &arguments.listen)?);
    let mut terminated = signal(SignalKind::terminate())?;
    let recorder = Recorder::listen(&socket, &driver).await?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    let written = std::fs::write(&arguments.out, recorder.trace().text()?);
    written.map_err(|problem| format!("{} cannot be written: {problem}", arguments.out.display()))?;
    // Left behind it would be in the way of the next recording.
    std::fs::remove_file(&socket)?;
    Ok(ExitCode::SUCCESS)
}
