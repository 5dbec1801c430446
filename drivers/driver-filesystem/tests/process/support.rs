//! A driver process for each test, with its store where the test says.

use std::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

use driver_testsuite::{Launch, Running};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Reply<T> = Result<T, Status>;

/// A driver with its store in `root`.
pub(crate) async fn start(root: &Path, parameters: &[(&str, &str)]) -> Running {
    try_start(launch(), root, parameters).await.unwrap()
}

/// How this driver is started.
pub(crate) fn launch() -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_bulkhead-driver-filesystem"))
}

pub(crate) async fn try_start(launch: Launch, root: &Path, parameters: &[(&str, &str)]) -> Reply<Running> {
    let launch = launch.parameter("rootdirectory", root.to_str().unwrap());
    let launch = parameters.iter().fold(launch, |launch, (name, value)| launch.parameter(name, value));
    Running::try_start(&launch).await
}

/// Why and with which words Configure was refused. They never name the folder.
pub(crate) fn refusal(reply: Reply<Running>, root: &Path) -> (Reason, String) {
    let (reason, message) = driver_testsuite::refusal(reply);
    assert!(!message.contains(root.to_str().unwrap()), "{message}");
    (reason, message)
}

/// The files that the driver keeps for itself while it does nothing, below `root`.
pub(crate) fn own_files(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![root.join("~bulkhead/workspaces")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files
}

/// Waits until `look` sees what is `wanted`.
pub(crate) async fn eventually<T: PartialEq + Debug>(wanted: T, look: impl Fn() -> T) {
    let begun = Instant::now();
    while look() != wanted {
        assert!(begun.elapsed() < PATIENCE, "{:?} instead of {wanted:?}", look());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
