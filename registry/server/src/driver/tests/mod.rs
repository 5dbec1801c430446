//! The client and the supervisor against real sockets and real processes, with the faults that both are made for.

mod attached;
mod contract;
mod descriptors;
mod fake;
mod https;
mod processes;
mod survival;

use std::collections::BTreeMap;
use std::env;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use storagedriver_proto::Path;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::settings::{DriverSettings, Executable, RestartLimits, Socket, Spawn, Way};
use super::{DriverClient, StartError, Supervisor};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

/// Bytes among which any loss, repetition or exchange shows.
fn content(length: usize) -> Bytes {
    let mut content: Vec<u8> =
        rand::random_iter::<u8>().take(64 << 10).collect::<Vec<u8>>().repeat(length / (64 << 10) + 1);
    content.truncate(length);
    for (number, block) in content.chunks_exact_mut(4096).enumerate() {
        block[..8].copy_from_slice(&(number as u64).to_le_bytes());
    }
    content.into()
}

/// Asks again and again until `condition` holds.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "it never came about that {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

fn signal(client: &DriverClient, signal: Signal) {
    if let Some(pid) = client.status().pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).unwrap())) {
        kill_process(pid, signal).unwrap();
    }
}

/// A folder with a store, the executables of drivers, and room for a socket.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The executable of the driver of that name, which `faulty-driver` plays.
    fn executable(&self, name: &str) -> PathBuf {
        let executable = self.file(&format!("bulkhead-driver-{name}"));
        if !executable.exists() {
            symlink(faulty_driver(), &executable).unwrap();
        }
        executable
    }

    /// The settings of the driver of that name.
    fn settings(&self, name: &str, socket: Socket) -> DriverSettings {
        self.executable(name);
        let store = [("rootdirectory".to_owned(), self.file("store").display().to_string())];
        DriverSettings {
            name: name.to_owned(),
            way: Way::Spawn(Spawn {
                executable: Executable::Search { directory: Some(self.folder.path().to_owned()) },
                socket,
                runtime_directory: Some(self.folder.path().to_owned()),
            }),
            parameters: BTreeMap::from(store),
            restart: RestartLimits::default(),
            descriptors: true,
        }
    }

    async fn start(&self, name: &str, socket: Socket) -> Result<(Supervisor, DriverClient), StartError> {
        Supervisor::start(self.settings(name, socket)).await
    }

    /// The durable driver of the registry, in a process of its own.
    async fn filesystem(&self) -> (Supervisor, DriverClient) {
        self.start("filesystem", Socket::Inherit).await.unwrap()
    }
}

/// Cargo builds the examples of a package with its tests, into a folder beside theirs.
fn faulty_driver() -> PathBuf {
    let tests = env::current_exe().unwrap();
    let executable = tests.parent().unwrap().parent().unwrap().join("examples/faulty-driver");
    assert!(executable.exists(), "build it first: cargo build -p bulkhead --example faulty-driver");
    executable
}
