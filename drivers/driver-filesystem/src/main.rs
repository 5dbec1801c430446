//! The executable `bulkhead-driver-filesystem`.

use std::process::ExitCode;

fn main() -> ExitCode {
    driver_kit::serve::<driver_filesystem::Filesystem>()
}
