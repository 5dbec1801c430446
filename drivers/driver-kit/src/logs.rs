//! The log: one JSON object a line on standard error, for the registry to read. Never fails, never panics.

use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;

/// The environment variable that sets what is logged: a level, or filters as `tracing` knows them.
pub(crate) const LEVEL: &str = "STORAGE_DRIVER_LOG";

/// Starts logging. A logger that stands already, as in a test, stays.
pub(crate) fn start() {
    let filter = std::env::var(LEVEL).ok().and_then(|text| EnvFilter::try_new(text).ok());
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        // The registry may be gone, and with it the reading end: complaining about that on standard error would panic.
        .log_internal_errors(false)
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// A panic is one line as well; it costs the call it happened in, not the process.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "panic: {}", panic.payload_as_str().unwrap_or("without a message"));
}
