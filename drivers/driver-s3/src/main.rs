//! The executable `bulkhead-driver-s3`.

use std::process::ExitCode;

fn main() -> ExitCode {
    driver_kit::serve::<driver_s3::S3>()
}
