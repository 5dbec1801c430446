//! Puts a registry together from its configuration, runs it, and takes it down in order.

use std::io;
use std::path::absolute;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::say;
use crate::config::Config;
use crate::driver::{self, DriverClient, DriverSettings, Supervisor};
use crate::http::{Address, BindError, Readiness, Server, Settings, Site};
use crate::schedule;
use crate::storage::{Registry, StorageError};

/// Why a registry did not start, or a command on its store failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Driver(#[from] driver::StartError),
    #[error("cannot keep data in {folder}; --data or rootdirectory choose another folder")]
    Data { folder: String, source: driver::StartError },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the operating system refuses what every registry needs")]
    System(#[from] io::Error),
}

/// Runs the registry until SIGTERM or SIGINT.
///
/// The socket comes first, so that a second registry started by mistake fails before it touches the store. The driver
/// goes last, since the requests that are being finished need it.
pub(crate) fn serve(config: Config) -> Result<(), StartError> {
    raise_descriptor_limit();
    Runtime::new()?.block_on(async {
        let mut stop = StopSignals::new()?;
        let server = Server::bind(&config.address, config.limits).await?;
        let banner = Banner::of(&config.driver, server.address());
        let (supervisor, client) = tokio::select! {
            started = open_store(config.driver) => started?,
            () = stop.next() => return Ok(()),
        };
        let registry = Registry::new(client.clone(), &config.store);
        let read_only = config.http.read_only || client.capabilities().read_only;
        let upkeep = tokio::spawn(schedule::purge_uploads(registry.clone(), config.purge, read_only));
        banner.show(&client);
        let site = Arc::new(site(registry, Settings { read_only, ..config.http }, client));
        let in_order = serve_until_stopped(server, site, stop).await;
        upkeep.abort();
        // Otherwise the driver is killed with its supervisor.
        if in_order {
            supervisor.shutdown().await;
        }
        Ok(())
    })
}

/// After the first signal requests in flight are finished; somebody who sends a second one does not want to wait. Whether
/// there was no second one.
async fn serve_until_stopped(server: Server, site: Arc<Site>, mut stop: StopSignals) -> bool {
    let asked = CancellationToken::new();
    let mut serving = pin!(server.serve(site, asked.cancelled()));
    tokio::select! {
        () = &mut serving => return true,
        () = stop.next() => asked.cancel(),
    }
    tokio::select! {
        () = serving => true,
        () = stop.next() => {
            tracing::warn!("stopping at once: requests still in flight were cut off");
            false
        }
    }
}

/// Has the driver judge its parameters, which only opening the store does.
pub(crate) fn check_driver(config: Config) -> Result<(), StartError> {
    Runtime::new()?.block_on(with_registry(config, async |_| Ok(())))
}

/// Removes stale uploads once.
pub(crate) fn purge_uploads(config: Config, older_than: Option<Duration>, dry_run: bool) -> Result<(), StartError> {
    let age = older_than.unwrap_or(config.purge.age);
    Runtime::new()?.block_on(with_registry(config, async |registry| {
        let purged = registry.purge_uploads(age, dry_run).await?;
        let verb = if dry_run { "would be" } else { "were" };
        say(&format!("{} of {} uploads {verb} removed", purged.deleted, purged.found));
        Ok(())
    }))
}

/// Makes the index of referrers from the manifests.
pub(crate) fn rebuild_referrers(config: Config) -> Result<(), StartError> {
    Runtime::new()?.block_on(with_registry(config, async |registry| {
        let referrers = registry.rebuild_referrers().await?;
        say(&format!("{referrers} referrers are in the index"));
        Ok(())
    }))
}

/// Runs `work` on the store without serving it.
async fn with_registry(
    config: Config,
    work: impl AsyncFnOnce(&Registry) -> Result<(), StorageError>,
) -> Result<(), StartError> {
    let (supervisor, client) = open_store(config.driver).await?;
    let done = work(&Registry::new(client, &config.store)).await;
    supervisor.shutdown().await;
    Ok(done?)
}

/// Starts the driver. It tells what is wrong with its store, but never the name of a folder: that is told here.
async fn open_store(settings: DriverSettings) -> Result<(Supervisor, DriverClient), StartError> {
    let folder = data_folder(&settings);
    Supervisor::start(settings).await.map_err(|source| match folder {
        Some(folder) if source.is_about_the_store() => StartError::Data { folder, source },
        _ => StartError::Driver(source),
    })
}

/// Where the filesystem driver keeps its store, as far as it is said.
fn data_folder(settings: &DriverSettings) -> Option<String> {
    let written = settings.parameters.get("rootdirectory").filter(|_| settings.name == "filesystem")?;
    Some(absolute(written).map_or_else(|_| written.clone(), |path| path.display().to_string()))
}

fn site(registry: Registry, settings: Settings, client: DriverClient) -> Site {
    let readiness = move || {
        let driver::Status { ready, reason, restarts, pid } = client.status();
        Readiness { ready, reason, driver_restarts: restarts, driver_pid: pid }
    };
    Site { registry, settings, readiness: Box::new(readiness) }
}

/// SIGTERM and SIGINT, from now on.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(StopSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("stopping: SIGTERM"),
            _ = self.interrupt.recv() => tracing::info!("stopping: SIGINT"),
        }
    }
}

/// The customary soft limit of 1024 descriptors is there for programs that use `select`; each connection needs one.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(problem) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%problem, "the limit of descriptors stays as it was");
    }
}

/// What a person at the terminal reads when the registry has started.
struct Banner {
    address: Address,
    driver: String,
    data: Option<String>,
}

impl Banner {
    fn of(settings: &DriverSettings, address: Address) -> Self {
        Banner { address, driver: settings.name.clone(), data: data_folder(settings) }
    }

    fn show(&self, client: &DriverClient) {
        let process = client.status().pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
        let data = self.data.as_deref().map(|folder| format!(", data in {folder}")).unwrap_or_default();
        say(&format!("Bulkhead {} serves {}", env!("CARGO_PKG_VERSION"), self.url()));
        say(&format!("  storage  driver {}{process}{data}", self.driver));
        if let Address::Tcp(host) = &self.address {
            let host = host.replace("0.0.0.0:", "localhost:").replace("[::]:", "localhost:");
            say(&format!("  try      docker push {host}/NAME:TAG    (Ctrl-C stops)"));
        }
    }

    fn url(&self) -> String {
        match &self.address {
            Address::Tcp(host) => format!("http://{host}"),
            Address::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}
