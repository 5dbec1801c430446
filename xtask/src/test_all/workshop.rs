//! The folders and executables that all parts share.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Outcome;

pub(super) struct Workshop {
    /// Lasts from run to run: what costs minutes to make.
    kept: PathBuf,
    /// Lasts as long as the run.
    scratch: TempDir,
    /// Where this program lies, and what was built with it.
    built: PathBuf,
    pub(super) bulkhead: PathBuf,
}

impl Workshop {
    pub(super) fn open(binary: Option<PathBuf>) -> Outcome<Workshop> {
        let own = std::env::current_exe()?;
        let built = own.parent().ok_or("this program is in no folder")?.to_owned();
        let kept = built.with_file_name("test-all");
        std::fs::create_dir_all(&kept)?;
        let bulkhead = match binary {
            Some(binary) => binary.canonicalize()?,
            None => executable(&built, "bulkhead")?,
        };
        empty(&kept.join("logs"))?;
        Ok(Workshop { kept, scratch: tempfile::Builder::new().prefix("test-all.").tempdir()?, built, bulkhead })
    }

    /// One of the programs of this repository, of the same build as this one.
    pub(super) fn executable(&self, name: &str) -> Outcome<PathBuf> {
        executable(&self.built, name)
    }

    pub(super) fn kept(&self, name: &str) -> PathBuf {
        self.kept.join(name)
    }

    /// Where a server writes its log: kept, so that a failure can be looked into.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.kept.join("logs").join(format!("{name}.log"))
    }

    /// A new folder, gone when the run ends.
    pub(super) fn folder(&self, purpose: &str) -> Outcome<PathBuf> {
        Ok(tempfile::Builder::new().prefix(&format!("{purpose}.")).tempdir_in(&self.scratch)?.keep())
    }
}

/// Makes a folder, without what an earlier run left in it.
pub(super) fn empty(folder: &Path) -> Outcome {
    match std::fs::remove_dir_all(folder) {
        Err(problem) if problem.kind() != ErrorKind::NotFound => Err(problem.into()),
        _ => Ok(std::fs::create_dir_all(folder)?),
    }
}

/// The same profile as this program's and the tests', and the same selection of packages and kinds: what is selected decides
/// with which features the dependencies are compiled, and after `cargo test --workspace` nothing is left to compile. The
/// registry runs with its debug assertions.
fn executable(folder: &Path, name: &str) -> Outcome<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--workspace", "--bins", "--examples"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if build.status()?.success() { Ok(folder.join(name)) } else { Err("the programs do not compile".into()) }
}
