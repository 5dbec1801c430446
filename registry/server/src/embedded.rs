//! `bulkhead driver NAME`: the memory and filesystem drivers in this executable, the only place that links them.
//!
//! They are as any other driver: processes of their own, reached by nothing but the protocol.

use std::ffi::OsString;
use std::process::ExitCode;

use driver_filesystem::Filesystem;
use driver_memory::Memory;

/// The drivers that need no other executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EmbeddedDriver {
    Filesystem,
    Memory,
}

impl EmbeddedDriver {
    /// Runs the driver as this process, with the arguments that are its own.
    pub(crate) fn serve(self, arguments: Vec<OsString>) -> ExitCode {
        match self {
            EmbeddedDriver::Filesystem => driver_kit::serve_with_arguments::<Filesystem>(arguments),
            EmbeddedDriver::Memory => driver_kit::serve_with_arguments::<Memory>(arguments),
        }
    }
}
