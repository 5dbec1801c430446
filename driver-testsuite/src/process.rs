//! A driver as a process of its own, started the way a registry starts it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, PipeWriter, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use futures::TryFutureExt;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use storagedriver_proto::environment::{DESCRIPTOR_FD, LISTEN_FD, LIVENESS_FD, NONCE, SOCKET};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

use crate::client::Client;
use crate::launch::{Launch, Way};
use crate::packets;
use crate::vitals::{Vitals, is_stopped, vitals};

/// How long a process may take to do what it must do at once.
const PATIENCE: Duration = Duration::from_secs(10);

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
    /// The registry's end of inherited sockets: calls wait in them while no driver runs.
    inherited: Option<Inherited>,
    folder: Arc<TempDir>,
}

/// The listening sockets that a driver inherits.
struct Inherited {
    calls: OwnedFd,
    descriptors: Option<OwnedFd>,
}

impl Drop for Driver {
    /// What the process wrote is kept with the case.
    fn drop(&mut self) {
        let last = Arc::strong_count(&self.folder) == 1;
        if let (true, Ok(log)) = (last, self.log()) {
            self.launch.journal.keep_log(log);
        }
    }
}

impl Driver {
    /// Starts a driver on an empty folder.
    pub async fn start(launch: &Launch) -> Result<Self, StartError> {
        Self::start_by(launch, launch.way()).await
    }

    /// Starts a driver on an empty folder, in a way of its own.
    pub async fn start_by(launch: &Launch, way: Way) -> Result<Self, StartError> {
        Self::open(launch, way, empty_folder()?, "driver.sock", nonce())
    }

    /// Starts a driver on an empty folder that inherits no descriptor socket.
    pub async fn start_without_descriptors(launch: &Launch) -> Result<Self, StartError> {
        let folder = empty_folder()?;
        let socket = folder.path().join("driver.sock");
        let inherited = Inherited { calls: UnixListener::bind(&socket)?.into(), descriptors: None };
        Self::spawn(launch.clone(), socket, Some(inherited), folder, nonce())
    }

    /// Starts a driver on an empty folder, with a nonce of its own; with none at all when it is empty.
    pub async fn start_with_nonce(launch: &Launch, nonce: Vec<u8>) -> Result<Self, StartError> {
        Self::open(launch, launch.way(), empty_folder()?, "driver.sock", nonce)
    }

    /// Starts another driver beside this one, on a socket of its own and on the same store.
    pub async fn beside(&self) -> Result<Self, StartError> {
        let way = if self.inherited.is_some() { Way::Inherited } else { Way::Path };
        let name = format!("driver-{:08x}.sock", rand::random::<u32>());
        Self::open(&self.launch, way, Arc::clone(&self.folder), &name, nonce())
    }

    fn open(launch: &Launch, way: Way, folder: Arc<TempDir>, socket: &str, nonce: Vec<u8>) -> Result<Self, StartError> {
        let socket = folder.path().join(socket);
        let inherited = match way {
            Way::Inherited => Some(Inherited {
                calls: UnixListener::bind(&socket)?.into(),
                descriptors: Some(packets::listen(&packets::beside(&socket))?),
            }),
            Way::Path => None,
        };
        Self::spawn(launch.clone(), socket, inherited, folder, nonce)
    }

    /// Kills the process where it stands, and starts another on the same socket and store.
    pub async fn replace(&mut self) -> Result<(), StartError> {
        self.kill().await?;
        let inherited = self.inherited.take();
        let folder = Arc::clone(&self.folder);
        *self = Self::spawn(self.launch.clone(), self.socket.clone(), inherited, folder, nonce())?;
        Ok(())
    }

    /// Kills the process where it stands. Calls wait in an inherited socket until [`replace`](Self::replace).
    pub async fn kill(&mut self) -> io::Result<()> {
        match self.child.id() {
            Some(_) => self.child.kill().await,
            None => Ok(()),
        }
    }

    /// Does `work`, and kills the process in the middle of it; what the work came to when it was done sooner.
    pub(crate) async fn kill_during<T>(
        &mut self,
        after: Duration,
        work: impl Future<Output = T>,
    ) -> io::Result<Option<T>> {
        let done = tokio::time::timeout(after, work).await.ok();
        self.kill().await?;
        Ok(done)
    }

    /// Stops the process in its tracks, until [`resume`](Self::resume).
    pub async fn suspend(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        // The signal reaches the threads one by one.
        while !is_stopped(self.id()?)? {
            if tokio::time::Instant::now() > deadline {
                return Err(io::Error::other("the process does not stand still, although it was told to"));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Lets a suspended process go on.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    fn spawn(
        launch: Launch,
        socket: PathBuf,
        inherited: Option<Inherited>,
        folder: Arc<TempDir>,
        nonce: Vec<u8>,
    ) -> Result<Self, StartError> {
        let (alive, liveness) = pipe()?;
        let mut command = Command::new(&launch.program);
        command.args(&launch.arguments).env_clear().kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(file(&folder, OUTPUT)?).stderr(file(&folder, LOG)?);
        if !nonce.is_empty() {
            command.env(NONCE, nonce.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
        command.envs(&launch.environment).env(LIVENESS_FD, "3");
        let mut mappings = vec![FdMapping { parent_fd: alive.into(), child_fd: 3 }];
        match &inherited {
            Some(inherited) => mappings.extend(inherited.name_in(&mut command)?),
            None => drop(command.env(SOCKET, &socket)),
        }
        let child = command.fd_mappings(mappings).map_err(io::Error::other)?.spawn()?;
        Ok(Driver { child, launch, socket, nonce, liveness: Some(liveness), inherited, folder })
    }

    /// The bytes that the handshake must echo.
    pub fn nonce(&self) -> &[u8] {
        &self.nonce
    }

    /// What the processes of this driver wrote to standard error.
    pub fn log(&self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(self.folder.path().join(LOG))?).into_owned())
    }

    /// What the processes of this driver wrote to standard output, which means nothing.
    pub fn output(&self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(self.folder.path().join(OUTPUT))?).into_owned())
    }

    /// The folder of the store, where the parameters name it: a back door to what the driver keeps.
    pub fn folder(&self) -> Option<PathBuf> {
        self.launch.is_isolated().then(|| self.folder.path().join("store"))
    }

    /// The path of its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The path of its descriptor socket, if it has one.
    pub(crate) fn descriptor_socket(&self) -> PathBuf {
        packets::beside(&self.socket)
    }

    /// What Configure gives this store.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        self.launch.parameters_in(&self.folder.path().join("store"))
    }

    /// A new connection. A driver that binds its own socket is waited for.
    pub async fn connect(&self) -> Result<Channel, StartError> {
        connect(&self.socket).await
    }

    /// A client of a driver that is not configured.
    pub async fn client(&self) -> Result<Client, StartError> {
        self.client_through(&self.socket).await
    }

    /// The same through another socket, behind which somebody passes the bytes on.
    pub async fn client_through(&self, socket: &Path) -> Result<Client, StartError> {
        let Launch { root, seed, journal, .. } = &self.launch;
        let (calls, streams) = (connect(socket).await?, connect(socket).await?);
        let client = Client::new(calls, streams, root.clone(), *seed, journal.clone());
        Ok(client.with_descriptor_socket(self.descriptor_socket()))
    }

    /// A client, after configuring the driver.
    pub async fn configured(&self) -> Result<Client, StartError> {
        self.configured_through(&self.socket).await
    }

    /// The same through another socket.
    pub async fn configured_through(&self, socket: &Path) -> Result<Client, StartError> {
        let client = self.client_through(socket).await?;
        let capabilities = client.configure(self.parameters()).await;
        Ok(client.with_capabilities(capabilities.map_err(|status| StartError::Configure(Box::new(status)))?))
    }

    /// Asks the process to stop.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.id()?).ok().and_then(Pid::from_raw);
        Ok(kill_process(pid.ok_or_else(|| io::Error::other("the process has no number"))?, signal)?)
    }

    /// Lets the process believe that its registry died.
    pub fn abandon(&mut self) {
        self.liveness = None;
    }

    /// Waits for the process to end.
    pub async fn exited(&mut self, within: Duration) -> io::Result<ExitStatus> {
        tokio::time::timeout(within, self.child.wait()).await?
    }

    /// The number of the process.
    pub fn id(&self) -> io::Result<u32> {
        self.child.id().ok_or_else(|| io::Error::other("the process has ended already"))
    }

    /// What the process holds.
    pub fn vitals(&self) -> io::Result<Vitals> {
        vitals(self.id()?)
    }
}

impl Inherited {
    /// Names the sockets to the process that inherits them.
    fn name_in(&self, command: &mut Command) -> io::Result<Vec<FdMapping>> {
        command.env(LISTEN_FD, "4");
        let mut mappings = vec![FdMapping { parent_fd: self.calls.try_clone()?, child_fd: 4 }];
        if let Some(descriptors) = &self.descriptors {
            command.env(DESCRIPTOR_FD, "5");
            mappings.push(FdMapping { parent_fd: descriptors.try_clone()?, child_fd: 5 });
        }
        Ok(mappings)
    }
}

/// What the process writes to standard error and to standard output, in the folder of the case.
const LOG: &str = "driver.log";
const OUTPUT: &str = "driver.out";

fn file(folder: &TempDir, name: &str) -> io::Result<File> {
    File::options().create(true).append(true).open(folder.path().join(name))
}

fn empty_folder() -> io::Result<Arc<TempDir>> {
    let folder = Arc::new(tempfile::tempdir()?);
    std::fs::create_dir(folder.path().join("store"))?;
    Ok(folder)
}

/// Bytes that no other start of a driver is given.
fn nonce() -> Vec<u8> {
    rand::random::<[u8; 16]>().to_vec()
}

/// A connection to the driver at `socket`. A driver that binds its own socket is waited for.
pub(crate) async fn connect(socket: &Path) -> Result<Channel, StartError> {
    let socket = socket.to_owned();
    let connect = tower::service_fn(move |_| UnixStream::connect(socket.clone()).map_ok(TokioIo::new));
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
