//! Puts a registry together from its configuration, runs it, and takes it down in order.

use std::io;
use std::path::absolute;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::say;
use crate::config::Config;
use crate::driver::{self, DriverClient, Supervisor};
use crate::http::{Address, BindError, Readiness, Server, Settings, Site};
use crate::schedule;
use crate::storage::{self, Registry, StorageError};

/// Why a registry did not start, or a command on its store failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Driver(#[from] driver::StartError),
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
        let server = Server::bind(&config.address, config.limits).await?;
        let stop = stop_signal()?;
        let banner = Banner::of(&config.driver, server.address());
        let (supervisor, client) = Supervisor::start(config.driver).await?;
        let registry = Registry::new(client.clone(), &storage::Settings::default());
        banner.show(&client);
        let purges = config.purge.enabled && !config.http.read_only;
        let upkeep = purges.then(|| tokio::spawn(schedule::purge_uploads(registry.clone(), config.purge)));
        server.serve(Arc::new(site(registry, config.http, client)), stop).await;
        upkeep.inspect(tokio::task::JoinHandle::abort);
        supervisor.shutdown().await;
        Ok(())
    })
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

/// Runs `work` on the store without serving it.
async fn with_registry(
    config: Config,
    work: impl AsyncFnOnce(&Registry) -> Result<(), StorageError>,
) -> Result<(), StartError> {
    let (supervisor, client) = Supervisor::start(config.driver).await?;
    let done = work(&Registry::new(client, &storage::Settings::default())).await;
    supervisor.shutdown().await;
    Ok(done?)
}

fn site(registry: Registry, settings: Settings, client: DriverClient) -> Site {
    let readiness = move || {
        let driver::Status { ready, reason, restarts, pid } = client.status();
        Readiness { ready, reason, driver_restarts: restarts, driver_pid: pid }
    };
    Site { registry, settings, readiness: Box::new(readiness) }
}

/// Completes at SIGTERM or SIGINT.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
        }
    })
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
    fn of(settings: &driver::DriverSettings, address: Address) -> Self {
        let data = settings.parameters.get("rootdirectory");
        let data = data.map(|folder| absolute(folder).map_or(folder.clone(), |path| path.display().to_string()));
        Banner { address, driver: settings.name.clone(), data }
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
