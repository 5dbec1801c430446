//! A driver as a process of its own, started the way a registry starts it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeWriter, pipe};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use storagedriver_proto::environment::{LISTEN_FD, LIVENESS_FD, NONCE, SOCKET};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

use crate::client::Client;

/// How long a process may take to do what it must do at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// How to start the driver, and the parameters of its store.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    parameters: BTreeMap<String, String>,
}

impl Launch {
    /// A driver that is this executable.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Launch { program: program.into(), arguments: Vec::new(), parameters: BTreeMap::new() }
    }

    /// Gives the executable an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Gives the store a parameter. Each `{folder}` in it becomes a folder that is empty when the store is first opened.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// How a driver and its callers meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The driver inherits a listening socket (clause L1).
    Inherited,
    /// The driver binds a path (clause L2).
    Path,
}

/// Why a driver could not be started or configured.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the driver cannot be started")]
    Spawn(#[from] io::Error),
    #[error("the driver cannot be called")]
    Connect(#[from] tonic::transport::Error),
    #[error("the driver refuses its configuration: {}", .0.message())]
    Configure(Box<tonic::Status>),
}

/// A running driver. Dropping it kills the process.
pub struct Driver {
    child: Child,
    launch: Launch,
    socket: PathBuf,
    nonce: Vec<u8>,
    liveness: Option<PipeWriter>,
    /// The registry's end of an inherited socket: calls wait in it while no driver runs.
    listener: Option<UnixListener>,
    folder: Arc<TempDir>,
}

impl Driver {
    /// Starts a driver on an empty folder.
    pub async fn start(launch: &Launch, way: Way) -> Result<Self, StartError> {
        let folder = Arc::new(tempfile::tempdir()?);
        std::fs::create_dir(folder.path().join("store"))?;
        let socket = folder.path().join("driver.sock");
        let listener = match way {
            Way::Inherited => Some(UnixListener::bind(&socket)?),
            Way::Path => None,
        };
        Self::spawn(launch.clone(), socket, listener, folder)
    }

    /// Kills the process where it stands, and starts another on the same socket and store.
    pub async fn replace(mut self) -> Result<Self, StartError> {
        self.child.kill().await?;
        Self::spawn(self.launch, self.socket, self.listener, self.folder)
    }

    fn spawn(
        launch: Launch,
        socket: PathBuf,
        listener: Option<UnixListener>,
        folder: Arc<TempDir>,
    ) -> Result<Self, StartError> {
        let (alive, liveness) = pipe()?;
        let nonce = std::process::id().to_be_bytes().to_vec();
        let mut command = Command::new(&launch.program);
        command.args(&launch.arguments).env_clear().kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file(&folder)?);
        command.env(NONCE, nonce.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        command.env(LIVENESS_FD, "3");
        let mut inherited = vec![FdMapping { parent_fd: alive.into(), child_fd: 3 }];
        if let Some(listener) = &listener {
            command.env(LISTEN_FD, "4");
            inherited.push(FdMapping { parent_fd: listener.try_clone()?.into(), child_fd: 4 });
        } else {
            command.env(SOCKET, &socket);
        }
        let child = command.fd_mappings(inherited).map_err(io::Error::other)?.spawn()?;
        Ok(Driver { child, launch, socket, nonce, liveness: Some(liveness), listener, folder })
    }

    /// The bytes that the handshake must echo.
    pub fn nonce(&self) -> &[u8] {
        &self.nonce
    }

    /// What the processes of this driver wrote to standard error.
    pub fn log(&self) -> io::Result<String> {
        std::fs::read_to_string(log_path(&self.folder))
    }

    /// The path of its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What Configure gives this store.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        let folder = self.folder.path().join("store");
        let filled = |value: &String| value.replace("{folder}", &folder.to_string_lossy());
        self.launch.parameters.iter().map(|(name, value)| (name.clone(), filled(value))).collect()
    }

    /// A new connection. A driver that binds its own socket is waited for.
    pub async fn connect(&self) -> Result<Channel, StartError> {
        let socket = self.socket.clone();
        let connect = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://localhost")
            .initial_stream_window_size(256 << 10)
            .initial_connection_window_size(16 << 20);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match endpoint.connect_with_connector(connect.clone()).await {
                Err(_) if tokio::time::Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(10)).await,
                result => return Ok(result?),
            }
        }
    }

    /// A client of a driver that is not configured.
    pub async fn client(&self) -> Result<Client, StartError> {
        Ok(Client::new(self.connect().await?, self.connect().await?))
    }

    /// A client, after configuring the driver.
    pub async fn configured(&self) -> Result<Client, StartError> {
        let client = self.client().await?;
        let capabilities = client.configure(self.parameters()).await;
        Ok(client.with_capabilities(capabilities.map_err(|status| StartError::Configure(Box::new(status)))?))
    }

    /// Asks the process to stop.
    pub fn terminate(&self) -> io::Result<()> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the process has ended already"))?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// Lets the process believe that its registry died.
    pub fn abandon(&mut self) {
        self.liveness = None;
    }

    /// Waits for the process to end.
    pub async fn exited(&mut self, within: Duration) -> io::Result<ExitStatus> {
        tokio::time::timeout(within, self.child.wait()).await?
    }

    /// How many descriptors the process has open.
    pub fn descriptors(&self) -> io::Result<usize> {
        let id = self.child.id().ok_or_else(|| io::Error::other("the process has ended already"))?;
        Ok(std::fs::read_dir(format!("/proc/{id}/fd"))?.count())
    }
}

fn log_path(folder: &TempDir) -> PathBuf {
    folder.path().join("driver.log")
}

fn log_file(folder: &TempDir) -> io::Result<File> {
    File::options().create(true).append(true).open(log_path(folder))
}
