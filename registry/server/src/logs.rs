//! Where log lines go and what they look like: to standard error, as text or JSON.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Has everything logged from now on as `log` says. Only the first call in a process counts.
pub(crate) fn begin(log: &Log) {
    let lines = fmt().with_env_filter(filter(log)).with_writer(stderr);
    let begun = match log.format {
        LogFormat::Text => lines.with_ansi(stderr().is_terminal()).with_target(false).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_target(false).finish().try_init(),
    };
    if begun.is_err() {
        tracing::debug!("the log had begun already");
    }
}

/// The libraries below speak only of what is wrong; at the level debug they would drown everything else.
fn filter(log: &Log) -> EnvFilter {
    let requests = if log.requests { "" } else { ",bulkhead::http::request_log=error" };
    EnvFilter::new(format!("warn,bulkhead={}{requests}", log.level))
}
