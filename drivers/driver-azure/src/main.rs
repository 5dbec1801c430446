//! The executable `bulkhead-driver-azure`.

use std::process::ExitCode;

fn main() -> ExitCode {
    driver_kit::serve::<driver_azure::Azure>()
}
