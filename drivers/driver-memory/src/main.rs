//! The executable `bulkhead-driver-memory`.

use std::process::ExitCode;

fn main() -> ExitCode {
    driver_kit::serve::<driver_memory::Memory>()
}
