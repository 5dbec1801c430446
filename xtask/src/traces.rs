//! The files in `driver-testsuite/traces`, recorded from the registry of this tree.
//!
//! The registry's tests know how to record, since they compare what they recorded with the files. This only tells them to
//! write instead.

use std::process::Command;

use crate::Outcome;
use crate::root;

/// Writes the files into the tree.
pub(crate) fn record() -> Outcome {
    let mut recording = Command::new(env!("CARGO"));
    recording.args(["test", "--package", "bulkhead", "--test", "registry", "traces::"]);
    let recorded = recording.env("RECORD_TRACES", "1").current_dir(root::path("")).status()?;
    if recorded.success() { Ok(()) } else { Err("not every trace could be recorded: the tests say why".into()) }
}
