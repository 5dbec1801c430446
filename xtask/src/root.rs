//! Where the workspace lies.

use std::path::{Path, PathBuf};

/// A file or folder of the workspace, by its path from the root.
pub(crate) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(relative)
}
