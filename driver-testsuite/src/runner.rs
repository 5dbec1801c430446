//! [`run`]: takes a target through the cases of a profile, and gives a report.
//!
//! It owns one random root in the store, gives each case a path below it, and sees that nothing is left there.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use storagedriver_proto::handshake::HelloRequest;
use storagedriver_proto::handshake::handshake_client::HandshakeClient;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{self as pb, PACKAGE};

use crate::case::{Case, Level, Profile, Run};
use crate::cases;
use crate::client::Client;
use crate::expect::{Outcome, Unkept, broken, ensure, refused, skipped};
use crate::host;
use crate::journal::{Ceiling, Journal, Meter};
use crate::measure::measure;
use crate::process::{Driver, StartError};
use crate::report::{Capabilities, CaseReport, DriverIdentity, Evidence, Measurements, Report, SCHEMA, Verdict};
use crate::target::Target;

/// How a run is made.
pub struct Options {
    pub profile: Profile,
    pub level: Level,
    /// Cases whose id contains one of these; every case when there are none.
    pub filter: Vec<String>,
    /// Cases that run at once.
    pub jobs: usize,
    /// Of everything that happens at random. The same seed makes the same choices.
    pub seed: u64,
    pub ceiling: Ceiling,
    /// Ids of cases that are known to fail.
    pub expected_failures: BTreeSet<String>,
    /// Whether the run ends with measuring what operations cost.
    pub measure: bool,
    /// Told how the run goes on.
    pub progress: Box<dyn Fn(&Progress<'_>) + Send + Sync>,
}

/// What whoever watches a run is told.
pub enum Progress<'a> {
    /// A case is done, the one of this number among all.
    Case { report: &'a CaseReport, number: usize, all: usize },
    /// This operation is measured next.
    Measuring(&'a str),
}

impl Default for Options {
    fn default() -> Self {
        Options {
            profile: Profile::Registry,
            level: Level::Full,
            filter: Vec::new(),
            jobs: 4,
            seed: rand::random(),
            ceiling: Ceiling::default(),
            expected_failures: BTreeSet::new(),
            measure: false,
            progress: Box::new(|_| {}),
        }
    }
}

impl Options {
    /// A run for `profile`.
    pub fn of(profile: Profile) -> Self {
        Options { profile, ..Options::default() }
    }

    fn takes(&self, case: &Case) -> bool {
        let named = self.filter.is_empty() || self.filter.iter().any(|part| case.id.contains(part.as_str()));
        named && self.profile.includes(case.scope) && case.level <= self.level
    }
}

/// Runs the cases that `options` name. An error says why the driver could not even be asked.
pub async fn run(target: &Target, options: &Options) -> Result<Report, StartError> {
    let (began, started) = (Instant::now(), host::now());
    let meter = Arc::new(Meter::new(options.ceiling));
    let cases: Vec<&'static Case> = cases::all().filter(|case| options.takes(case)).collect();
    let work = Work::new(target, options, Arc::clone(&meter), cases.len());
    let (driver, client) = target.open(&work.root, options.seed, Journal::new(Arc::clone(&meter))).await?;
    let identity = identity(&client).await;
    let capabilities = Capabilities::from(client.capabilities());
    let mut reports = work.on_store(&cases, &client, driver.as_ref()).await;
    work.sweep(&client).await;
    drop((client, driver));
    reports.extend(work.on_processes(&cases).await);
    let place = |report: &CaseReport| cases.iter().position(|case| case.id == report.id);
    reports.sort_by_key(place);
    let measurements = if options.measure { Some(Box::pin(work.measure()).await) } else { None };
    Ok(Report {
        schema: SCHEMA,
        suite: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PACKAGE.to_owned(),
        driver: identity,
        capabilities,
        target: target.name(),
        profile: options.profile,
        level: options.level,
        filtered: !options.filter.is_empty(),
        seed: options.seed,
        started,
        seconds: began.elapsed().as_secs_f64(),
        host: host::host(),
        traffic: meter.traffic(),
        cases: reports,
        measurements,
    })
}

async fn identity(client: &Client) -> DriverIdentity {
    let request = HelloRequest { protocols: vec![PACKAGE.to_owned()], ..Default::default() };
    let answer = HandshakeClient::new(client.channel()).hello(request).await;
    let answer = answer.map(tonic::Response::into_inner).unwrap_or_default();
    DriverIdentity { name: answer.driver_name, version: answer.driver_version }
}

/// What all cases of a run share.
struct Work<'a> {
    target: &'a Target,
    options: &'a Options,
    meter: Arc<Meter>,
    root: String,
    done: AtomicUsize,
    all: usize,
}

impl<'a> Work<'a> {
    fn new(target: &'a Target, options: &'a Options, meter: Arc<Meter>, all: usize) -> Self {
        let root = format!("/suite-{:016x}", rand::random::<u64>());
        Work { target, options, meter, root, done: AtomicUsize::new(0), all }
    }

    /// Deletes what cases could not that a ceiling stopped: what stays in a store costs money for longer.
    async fn sweep(&self, client: &Client) {
        if self.meter.exhausted().is_some() && !client.capabilities().read_only {
            let request = pb::DeleteRequest { path: self.root.clone(), recursive: true };
            // The cases say already that the run is not whole, and whether the store can be reached.
            let _ = client.raw().delete(request).await;
        }
    }

    /// What operations cost on a driver that does nothing else, at the same ceilings.
    async fn measure(&self) -> Measurements {
        let journal = Journal::new(Arc::clone(&self.meter));
        let root = format!("{}/measure", self.root);
        let tell = |operation: &str| (self.options.progress)(&Progress::Measuring(operation));
        measure(self.target, root, self.options.seed, &journal, &tell).await
    }

    /// The cases on a shared store, several at once, and at the end the look whether anything is left of them.
    async fn on_store(&self, cases: &[&'static Case], client: &Client, driver: Option<&Driver>) -> Vec<CaseReport> {
        let look = |case: &'static Case| self.look_at_store(case, client, driver);
        let (last, first): (Vec<_>, Vec<_>) = cases.iter().copied().partition(|case| matches!(case.run, Run::Cleanup));
        let jobs = self.options.jobs.max(1);
        let mut reports: Vec<_> = stream::iter(first).map(look).buffer_unordered(jobs).collect().await;
        reports.extend(stream::iter(last).then(look).collect::<Vec<_>>().await);
        reports.into_iter().flatten().collect()
    }

    async fn look_at_store(&self, case: &'static Case, client: &Client, driver: Option<&Driver>) -> Option<CaseReport> {
        let journal = Journal::new(Arc::clone(&self.meter));
        let client = client.for_case(self.path(case), self.seed(case), journal.clone());
        let log = || driver.and_then(|driver| driver.log().ok()).unwrap_or_default();
        let began = log().len();
        let looking = async {
            match case.run {
                Run::Store(look) => look(client.clone()).await.and(clean(&client).await),
                _ => {
                    // With the cases filtered there may be nothing yet that could be left.
                    client.put(&client.at("a/b"), "content").await?;
                    clean(&client).await
                }
            }
        };
        let report = match case.run {
            Run::Process(_) => return None,
            Run::Store(_) | Run::Cleanup => self.judge(case, &journal, looking).await,
        };
        Some(self.tell(report, &journal, || log().split_off(began)))
    }

    /// The cases with processes of their own. On a store that all processes share, they run one at a time.
    async fn on_processes(&self, cases: &[&'static Case]) -> Vec<CaseReport> {
        let at_once = if self.target.stores_are_one() { 1 } else { self.options.jobs.max(1) };
        let running = stream::iter(cases).map(|case| self.look_at_processes(case));
        let reports: Vec<_> = running.buffer_unordered(at_once).collect().await;
        reports.into_iter().flatten().collect()
    }

    async fn look_at_processes(&self, case: &'static Case) -> Option<CaseReport> {
        let Run::Process(look) = case.run else { return None };
        let journal = Journal::new(Arc::clone(&self.meter));
        let looking = async {
            match self.target {
                Target::Spawned(launch) => {
                    look(launch.for_case(self.path(case), self.seed(case), journal.clone())).await
                }
                Target::Attached(_) => {
                    skipped("the driver is run by somebody else, and this case starts and kills processes")
                }
            }
        };
        let report = self.judge(case, &journal, looking).await;
        Some(self.tell(report, &journal, || journal.logs()))
    }

    async fn judge(&self, case: &Case, journal: &Journal, looking: impl Future<Output = Outcome>) -> CaseReport {
        let began = Instant::now();
        let patience = patience(case.level);
        let outcome = tokio::time::timeout(patience, looking).await;
        let outcome = outcome.unwrap_or_else(|_| broken(too_slow(patience)));
        let outcome = match (outcome, self.meter.exhausted()) {
            (Err(Unkept::Broken(_)), Some(reached)) => skipped(reached),
            (outcome, _) => outcome,
        };
        let verdict = Verdict::of(outcome, self.options.expected_failures.contains(case.id));
        let seconds = began.elapsed().as_secs_f64();
        CaseReport { verdict, seconds, remarks: journal.remarks(), ..CaseReport::new(case) }
    }

    /// Adds what helps to find the cause of a failure, and tells whoever watches the run.
    fn tell(&self, mut report: CaseReport, journal: &Journal, log: impl FnOnce() -> String) -> CaseReport {
        if report.verdict.is_bad() {
            let reproduce = self.reproduction(&report.id);
            report.evidence = Some(Evidence { transcript: journal.calls(), log: log(), reproduce });
        }
        let number = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        (self.options.progress)(&Progress::Case { report: &report, number, all: self.all });
        report
    }

    /// The command that runs one case alone, with the same choices at random.
    fn reproduction(&self, case: &str) -> String {
        let Options { profile, level, seed, .. } = self.options;
        let target = self.target.options();
        format!("driver-testsuite run {target} --profile {profile} --level {level} --filter {case} --seed {seed}")
    }

    fn path(&self, case: &Case) -> String {
        match case.run {
            Run::Cleanup => self.root.clone(),
            Run::Store(_) | Run::Process(_) => format!("{}/{}", self.root, case.id.replace('/', ".")),
        }
    }

    fn seed(&self, case: &Case) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.options.seed, case.id).hash(&mut hasher);
        hasher.finish()
    }
}

/// A driver that hangs looks like a slow disk, so both are told.
fn too_slow(patience: Duration) -> String {
    format!(
        "too slow: not done after {patience:?}; the transcript tells what was waited for; on a slow disk set TMPDIR to a \
         faster one or use fewer --jobs"
    )
}

fn patience(level: Level) -> Duration {
    Duration::from_secs(match level {
        Level::Quick => 60,
        Level::Full => 180,
        Level::Long => 3600,
    })
}

/// Deletes what a case left, and looks whether it is gone.
async fn clean(client: &Client) -> Outcome {
    if client.capabilities().read_only {
        return Ok(());
    }
    client.delete(client.root(), true).await?;
    let walked = client.walk(client.root(), "").await?.into_iter().flat_map(|message| message.entries);
    let left: Vec<String> = walked.map(|entry| entry.path).collect();
    ensure(left.is_empty(), || format!("left after a recursive Delete: {left:?}"))?;
    refused("Stat of what was deleted", client.stat(client.root()).await, Reason::NotFound).map(drop)
}

impl From<&pb::Capabilities> for Capabilities {
    fn from(told: &pb::Capabilities) -> Self {
        Capabilities {
            durability: told.durability().as_str_name().to_owned(),
            granularity: told.granularity.max(1),
            shared: told.shared,
            read_only: told.read_only,
            if_absent: told.if_absent,
            redirect: told.redirect,
            commit_copies: told.commit_copies,
            descriptors: told.descriptors,
            write_descriptors: told.write_descriptors,
        }
    }
}
