//! [`Supervisor`]: has a driver there whenever it can be had, and tells the gate when calls may flow to it.
//!
//! It knows processes, handshakes and health, and no call on the storage.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;

use super::answers::{Capabilities, Durability};
use super::channel::Connections;
use super::client::DriverClient;
use super::descriptors::Descriptors;
use super::gate::Gate;
use super::handshake::{self, Greeting};
use super::health::{self, StoreHealth};
use super::restart::Restarts;
use super::retry::Call;
use super::settings::{DriverSettings, Endpoint, Way};
use super::spawn::{Process, Spawner};
use super::start_error::StartError;

/// How long a driver that cannot open its store is left alone before it is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// The keeper of the driver. Dropping it kills a driver that the registry has started.
pub(crate) struct Supervisor {
    stop: CancellationToken,
    keeper: AbortOnDropHandle<()>,
}

impl Supervisor {
    /// Starts or greets the driver and has it open its store. The client works from then on, through every restart.
    pub(crate) async fn start(settings: DriverSettings) -> Result<(Supervisor, DriverClient), StartError> {
        let host = Host::prepare(&settings)?;
        let endpoint = host.endpoint();
        let connections = Connections::to(&endpoint)?;
        let descriptors = Descriptors::of(&endpoint, settings.descriptors);
        let owned = matches!(settings.way, Way::Spawn(_));
        let stop = CancellationToken::new();
        let gate = Arc::new(Gate::new());
        let control = connections.control();
        let mut keeper =
            Keeper { settings, host, control, gate: Arc::clone(&gate), stop: stop.clone(), restarts: 0, worked: false };
        let driver = keeper.bring_up().await?;
        keeper.admit_calls(&driver);
        let keeper = AbortOnDropHandle::new(tokio::spawn(keeper.keep(driver)));
        Ok((Supervisor { stop, keeper }, DriverClient::new(connections, descriptors, gate, owned)))
    }

    /// Asks a driver that the registry has started to finish and end, and waits until it has.
    pub(crate) async fn shutdown(self) {
        self.stop.cancel();
        // The keeper ends by itself; a panic of it has been reported where it happened.
        let _ = self.keeper.await;
    }
}

/// Who runs the driver.
enum Host {
    Registry(Spawner),
    SomebodyElse(Endpoint),
}

impl Host {
    fn prepare(settings: &DriverSettings) -> Result<Self, StartError> {
        match &settings.way {
            Way::Spawn(spawn) => Spawner::prepare(&settings.name, spawn, settings.descriptors).map(Host::Registry),
            Way::Attach(endpoint) => Ok(Host::SomebodyElse(endpoint.clone())),
        }
    }

    fn endpoint(&self) -> Endpoint {
        match self {
            Host::Registry(spawner) => Endpoint::Unix(spawner.socket()),
            Host::SomebodyElse(endpoint) => endpoint.clone(),
        }
    }

    fn launch(&self) -> Result<Option<Process>, StartError> {
        match self {
            Host::Registry(spawner) => spawner.launch().map(Some),
            Host::SomebodyElse(_) => Ok(None),
        }
    }

    /// Whether the driver must be started again to have the variables it reads.
    fn lacks(&mut self, environment: &[String]) -> bool {
        match self {
            Host::Registry(spawner) => spawner.declare(environment),
            Host::SomebodyElse(_) => false,
        }
    }
}

/// A driver that has been greeted and configured.
struct Driver {
    process: Option<Process>,
    instance: u64,
    capabilities: Capabilities,
    ready_since: Instant,
}

/// Why a driver is watched no longer.
enum Ending {
    Stop,
    /// A sentence for the log.
    Gone(String),
}

struct Keeper {
    settings: DriverSettings,
    host: Host,
    control: Channel,
    gate: Arc<Gate>,
    stop: CancellationToken,
    restarts: u64,
    /// It was ready once.
    worked: bool,
}

impl Keeper {
    async fn keep(mut self, mut driver: Driver) {
        let mut deaths = Restarts::new(self.settings.restart);
        loop {
            let ready_since = driver.ready_since;
            match self.watch(&mut driver).await {
                Ending::Stop => return self.end(driver).await,
                Ending::Gone(why) => self.bury(driver, &why).await,
            }
            let Some(next) = self.bring_back(&mut deaths, ready_since).await else { return };
            driver = next;
            self.restarts += 1;
            self.admit_calls(&driver);
        }
    }

    async fn watch(&self, driver: &mut Driver) -> Ending {
        let (name, instance, attached) = (&self.settings.name, driver.instance, driver.process.is_none());
        let note = |health| self.gate.set_store(health);
        tokio::select! {
            () = self.stop.cancelled() => Ending::Stop,
            loss = self.loss(&mut driver.process, note) => Ending::Gone(loss.to_string()),
            () = self.gate.met_unconfigured(), if attached => Ending::Gone("it is not configured".to_owned()),
            () = health::is_replaced(&self.control, note, name, instance), if attached => {
                Ending::Gone("another process took its place".to_owned())
            }
        }
    }

    /// From here on calls wait.
    async fn bury(&self, mut driver: Driver, why: &str) {
        self.gate.close();
        let pid = driver.process.as_ref().map(Process::pid);
        tracing::error!(driver = self.settings.name, pid, why, "the driver is gone");
        if let Some(process) = &mut driver.process {
            process.kill().await;
        }
    }

    /// Brings the driver up again, as often as it takes; `None` when the registry stops before.
    async fn bring_back(&mut self, deaths: &mut Restarts, ready_since: Instant) -> Option<Driver> {
        let mut ready_since = Some(ready_since);
        loop {
            let verdict = deaths.died(Instant::now(), ready_since.take());
            if verdict.give_up_waiting {
                self.gate.give_up(format!("the driver {} keeps failing; its log says why", self.settings.name));
            }
            let stop = self.stop.clone();
            let attempt = Box::pin(async {
                sleep(verdict.restart_after).await;
                self.bring_up().await
            });
            let problem = match stop.run_until_cancelled(attempt).await? {
                Ok(driver) => return Some(driver),
                Err(problem) => problem,
            };
            tracing::error!(driver = self.settings.name, %problem, "the driver does not start");
            if problem.is_final() {
                self.gate.give_up(problem.to_string());
                stop.cancelled().await;
            }
        }
    }

    async fn bring_up(&mut self) -> Result<Driver, StartError> {
        let mut process = self.host.launch()?;
        let mut greeting = self.greet(&mut process).await?;
        if self.host.lacks(&greeting.environment) {
            drop(process);
            process = self.host.launch()?;
            greeting = self.greet(&mut process).await?;
        }
        let capabilities = self.configure(&mut process).await?;
        let pid = process.as_ref().map(Process::pid);
        tracing::info!(driver = self.settings.name, version = greeting.version, pid, "the driver is ready");
        Ok(Driver { process, instance: greeting.instance, capabilities, ready_since: Instant::now() })
    }

    async fn greet(&self, process: &mut Option<Process>) -> Result<Greeting, StartError> {
        // Nothing says when somebody else starts a driver; ours has just been started.
        let call = if process.is_some() { Call::HELLO } else { Call::HELLO_ATTACHED };
        let greeting = handshake::hello(&self.control, &self.settings.name, call);
        let greeting = self.unless_lost(process, greeting).await?;
        match process {
            Some(process) if process.nonce() != greeting.nonce => {
                Err(StartError::Impostor { driver: self.settings.name.clone() })
            }
            _ => Ok(greeting),
        }
    }

    /// A registry does not start without its store. Later a back end that is down must not cost its driver its life.
    async fn configure(&self, process: &mut Option<Process>) -> Result<Capabilities, StartError> {
        let (name, parameters) = (&self.settings.name, &self.settings.parameters);
        let patience = if self.worked { Call::CONFIGURE.deadline } else { self.settings.way.store_patience() };
        loop {
            let configuring = handshake::configure(&self.control, name, parameters, patience);
            match self.unless_lost(process, configuring).await {
                Err(problem @ StartError::Store { .. }) if self.worked => {
                    tracing::error!(driver = name, %problem, "the driver has no store");
                    self.gate.give_up(problem.to_string());
                    sleep(STORE_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// What `call` comes to, unless the process ends or hangs before.
    async fn unless_lost<T>(
        &self,
        process: &mut Option<Process>,
        call: impl Future<Output = Result<T, StartError>>,
    ) -> Result<T, StartError> {
        tokio::select! {
            biased;
            outcome = call => outcome,
            // Until it is configured, nothing is expected of its store.
            loss = self.loss(process, |_| {}) => Err(loss),
        }
    }

    /// Never completes for a driver that somebody else runs.
    async fn loss(&self, process: &mut Option<Process>, note: impl Fn(StoreHealth)) -> StartError {
        let Some(process) = process else { return pending().await };
        let driver = self.settings.name.clone();
        tokio::select! {
            exit = process.exited() => StartError::Exited { driver, exit },
            () = health::hangs(&self.control, note) => StartError::Hangs { driver },
        }
    }

    fn admit_calls(&mut self, driver: &Driver) {
        self.worked = true;
        if driver.capabilities.durability == Durability::Volatile {
            tracing::warn!(driver = self.settings.name, "the driver forgets its store when its process ends");
        }
        self.gate.open(driver.capabilities, driver.process.as_ref().map(Process::pid), self.restarts);
    }

    async fn end(self, mut driver: Driver) {
        self.gate.give_up("the registry is shutting down".to_owned());
        if let Some(process) = &mut driver.process {
            process.stop().await;
        }
    }
}
