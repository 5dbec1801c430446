//! Starting a driver process and ending it: its executable, socket, environment and descriptors.
//!
//! The child gets what the protocol names and nothing else: no descriptor, no variable, no argument of the registry's.

use std::env;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{self, Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};
use storagedriver_proto::environment::{DESCRIPTOR_FD, LISTEN_FD, LIVENESS_FD, NONCE, SOCKET};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::log::{DriverLog, Exit};
use super::packets;
use super::runtime_folder::{DESCRIPTOR_SOCKET_FILE, RuntimeFolder, SOCKET_FILE};
use super::settings::{Executable, Socket, Spawn};
use super::start_error::StartError;

/// What every driver is given of the registry's environment.
const ENVIRONMENT: [&str; 4] = ["PATH", "TZ", "TMPDIR", "LANG"];
/// The descriptors of the child.
const LISTEN: i32 = 3;
const LIVENESS: i32 = 4;
const DESCRIPTORS: i32 = 5;
/// A driver finishes what is in flight within 10 seconds.
const STOP_PATIENCE: Duration = Duration::from_secs(12);

/// What does not change from one process of a driver to the next.
pub(super) struct Spawner {
    driver: String,
    program: PathBuf,
    arguments: Vec<String>,
    folder: RuntimeFolder,
    /// Ours while processes come and go, so that connections wait in its queue; `None` when the driver binds its own.
    listeners: Option<Listeners>,
    /// The variables that the driver declared and the registry has.
    declared: Vec<(String, OsString)>,
}

/// The sockets that a driver inherits.
struct Listeners {
    calls: OwnedFd,
    descriptors: Option<OwnedFd>,
}

/// A running driver process. Dropping it kills it, and it is reaped.
pub(super) struct Process {
    child: Child,
    pid: u32,
    nonce: [u8; 16],
    log: DriverLog,
    /// Its closing tells the driver that the registry is dead.
    _liveness: OwnedFd,
}

impl Spawner {
    /// With `descriptors` the driver is given a socket on which it may hand out open files.
    pub(super) fn prepare(driver: &str, spawn: &Spawn, descriptors: bool) -> Result<Self, StartError> {
        let (program, arguments) = find(driver, &spawn.executable)?;
        let parent = spawn.runtime_directory.clone().unwrap_or_else(env::temp_dir);
        let refused = |source| StartError::Socket { folder: parent.clone(), source };
        let folder = RuntimeFolder::make_in(&parent).map_err(refused)?;
        let listeners = match spawn.socket {
            Socket::Inherit => Some(Listeners::bind(&folder, descriptors).map_err(refused)?),
            Socket::Path => None,
        };
        Ok(Spawner { driver: driver.to_owned(), program, arguments, folder, listeners, declared: Vec::new() })
    }

    /// Where the driver is called.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.file(SOCKET_FILE)
    }

    /// Notes the variables that the driver reads, and tells whether it must be started again to have them.
    pub(super) fn declare(&mut self, names: &[String]) -> bool {
        let of_protocol = [LISTEN_FD, DESCRIPTOR_FD, SOCKET, LIVENESS_FD, NONCE];
        let names = names.iter().filter(|name| !of_protocol.contains(&name.as_str()));
        let ours = names.filter_map(|name| Some((name.clone(), env::var_os(name)?)));
        let declared: Vec<_> = ours.filter(|(name, _)| !ENVIRONMENT.contains(&name.as_str())).collect();
        let news = declared.iter().any(|variable| !self.declared.contains(variable));
        self.declared = declared;
        news
    }

    pub(super) fn launch(&self) -> Result<Process, StartError> {
        self.spawn().map_err(|source| StartError::Spawn { program: self.program.clone(), source })
    }

    fn spawn(&self) -> io::Result<Process> {
        let nonce: [u8; 16] = rand::random();
        let (liveness, ours) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.variables(nonce));
        // A group of its own: Ctrl-C at a terminal is for the registry, which still needs the driver to finish.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.fd_mappings(self.descriptors(liveness)?).map_err(io::Error::other)?;
        let mut child = command.spawn()?;
        let (Some(pid), Some(stderr)) = (child.id(), child.stderr.take()) else {
            return Err(io::Error::other("the process was gone before it was seen"));
        };
        let log = DriverLog::follow(stderr, self.driver.clone(), pid);
        Ok(Process { child, pid, nonce, log, _liveness: ours })
    }

    fn descriptors(&self, liveness: OwnedFd) -> io::Result<Vec<FdMapping>> {
        let mut mappings = vec![FdMapping { parent_fd: liveness, child_fd: LIVENESS }];
        if let Some(Listeners { calls, descriptors }) = &self.listeners {
            mappings.push(FdMapping { parent_fd: calls.try_clone()?, child_fd: LISTEN });
            if let Some(descriptors) = descriptors {
                mappings.push(FdMapping { parent_fd: descriptors.try_clone()?, child_fd: DESCRIPTORS });
            }
        }
        Ok(mappings)
    }

    fn variables(&self, nonce: [u8; 16]) -> Vec<(String, OsString)> {
        let usual = ENVIRONMENT.iter().filter_map(|name| Some(((*name).to_owned(), env::var_os(name)?)));
        let mut variables: Vec<_> = self.declared.iter().cloned().chain(usual).collect();
        let number = |descriptor: i32| descriptor.to_string().into();
        let socket = match &self.listeners {
            Some(_) => (LISTEN_FD, number(LISTEN)),
            None => (SOCKET, self.socket().into()),
        };
        let descriptors = self.listeners.as_ref().is_some_and(|listeners| listeners.descriptors.is_some());
        let descriptors = descriptors.then(|| (DESCRIPTOR_FD, number(DESCRIPTORS)));
        let of_protocol = [socket, (LIVENESS_FD, number(LIVENESS)), (NONCE, hexadecimal(&nonce).into())];
        let of_protocol = of_protocol.into_iter().chain(descriptors);
        variables.extend(of_protocol.map(|(name, value)| (name.to_owned(), value)));
        variables
    }
}

impl Listeners {
    fn bind(folder: &RuntimeFolder, descriptors: bool) -> io::Result<Self> {
        let calls = UnixListener::bind(folder.file(SOCKET_FILE))?.into();
        let descriptors = descriptors.then(|| packets::bind_listener(&folder.file(DESCRIPTOR_SOCKET_FILE)));
        let descriptors = descriptors.transpose()?;
        Ok(Listeners { calls, descriptors })
    }
}

impl Process {
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn nonce(&self) -> &[u8] {
        &self.nonce
    }

    /// Completes when the process has ended. May be cancelled and called again.
    pub(super) async fn exited(&mut self) -> Exit {
        match self.child.wait().await {
            Ok(status) => self.log.close(describe(status)).await,
            // Only somebody else's waiting for our child can cause this; health checks will tell whether it lives.
            Err(_) => pending().await,
        }
    }

    /// Asks the process to end, and makes it when it does not.
    pub(super) async fn stop(&mut self) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It has not been waited for, so that the number is still its own; it may have ended already.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(STOP_PATIENCE, self.child.wait()).await.is_err() {
            tracing::warn!(pid = self.pid, "the driver did not end in time and is killed");
            self.kill().await;
        }
    }

    pub(super) async fn kill(&mut self) {
        // The only failure is a process that has ended already.
        let _ = self.child.kill().await;
    }
}

/// The program and its arguments.
fn find(driver: &str, executable: &Executable) -> Result<(PathBuf, Vec<String>), StartError> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if driver.is_empty() || driver.len() > 63 || !driver.bytes().all(valid) {
        return Err(StartError::Name(driver.to_owned()));
    }
    match executable {
        Executable::Embedded => Ok((own_executable()?, vec!["driver".to_owned(), driver.to_owned()])),
        // Without a slash in it a program would be looked up on PATH.
        Executable::File(file) => Ok((path::absolute(file).unwrap_or_else(|_| file.clone()), Vec::new())),
        Executable::Search { directory } => Ok((search(driver, directory.as_deref())?, Vec::new())),
    }
}

fn search(driver: &str, directory: Option<&Path>) -> Result<PathBuf, StartError> {
    let file = format!("bulkhead-driver-{driver}");
    let own = own_executable()?;
    let folders: Vec<&Path> = directory.into_iter().chain(own.parent()).collect();
    let found = folders.iter().map(|folder| folder.join(&file)).find(|candidate| candidate.is_file());
    found.ok_or_else(|| {
        let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        StartError::NotInstalled { file, folders: folders.join(" or ") }
    })
}

fn own_executable() -> Result<PathBuf, StartError> {
    env::current_exe().map_err(|source| StartError::Spawn { program: "bulkhead".into(), source })
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["", "../evil", "S3", "a b", &"a".repeat(64)] {
            let refused = find(name, &Executable::Search { directory: None });
            assert!(matches!(refused, Err(StartError::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn an_executable_is_looked_for_in_two_places_only() {
        let folder = tempfile::tempdir().unwrap();
        let search = Executable::Search { directory: Some(folder.path().to_owned()) };
        let missing = find("nothere", &search).unwrap_err().to_string();
        let own = own_executable().unwrap();
        for place in [folder.path(), own.parent().unwrap()] {
            assert!(missing.contains(&place.display().to_string()), "{missing}");
        }
        let file = folder.path().join("bulkhead-driver-nothere");
        std::fs::write(&file, "").unwrap();
        assert_eq!(find("nothere", &search).unwrap(), (file, Vec::new()));
    }
}
