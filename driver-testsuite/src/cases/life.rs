//! How a driver process is met, and how it ends.

use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{ReadRequest, SERVICE};
use tokio::time::{Instant, timeout};
use tonic::Streaming;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::handshake::{hello, hello_on};
use super::health::{becomes, serving};
use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, Unkept, broken, ensure, equal, not_offered, refused, same_bytes};
use crate::launch::{Launch, Way};
use crate::process::Driver;
use crate::vitals;

cases! { "life":
    process Quick Every [L1] "A driver serves on the socket it inherits and binds no other." => inherits_a_socket,
    process Quick Every [L1] "Calls made while a driver restarts wait in the inherited socket." => calls_wait,
    process Quick Every [L2] "A driver binds a path and replaces what a dead process left there." => binds_a_path,
    process Quick Every [L4] "Each connection serves all three services, for the authority localhost." => three_services,
    process Full Every [G9 L4] "A driver takes 200 connections at once." => many_connections,
    process Quick Every [L5] "A driver whose registry dies exits within 5 seconds." => registry_dies,
    process Full Writing [L5] "Streams under way do not keep a driver whose registry died." => registry_dies_amid_streams,
    process Quick Every [L6] "On SIGTERM an idle driver exits with 0." => stops_when_idle,
    process Quick Writing [L6] "On SIGTERM a driver finishes what is in flight." => finishes_on_sigterm,
    process Full Writing [L6] "After SIGTERM a driver reports NOT_SERVING and takes no call." => refuses_after_sigterm,
    process Full Writing [L6] "A reader that never reads keeps a driver for at most 10 seconds." => stops_despite_a_reader,
    process Quick Every [L7] "A log line is a JSON object with timestamp, level and message, or plain text." => logs,
    process Quick Every [L7] "Neither arguments, environment nor log of a driver show its parameters." => keeps_parameters_to_itself,
    process Quick Writing [L7] "The log holds no query of a signed URL." => keeps_urls_to_itself,
}

/// How long a driver may live without its registry, and a little for the machine.
const ORPHANED: Duration = Duration::from_secs(6);

/// How long a driver may finish calls, and a little for the machine.
const DRAINED: Duration = Duration::from_secs(12);

async fn inherits_a_socket(launch: Launch) -> Outcome {
    if launch.way() == Way::Path {
        return not_offered("the driver binds a path, as its operator says");
    }
    let driver = Driver::start(&launch).await?;
    driver.configured().await?;
    let listening = vitals::listening(driver.id()?);
    let listening =
        listening.map_err(|problem| Unkept::Skipped(format!("the process cannot be looked at: {problem}")))?;
    // A driver may have a port at which clients follow its URLs.
    let (ports, sockets): (Vec<_>, Vec<_>) = listening.into_iter().partition(|address| vitals::is_port(address));
    for port in ports {
        launch.journal().remark(format!("the driver also listens on a port, {port}"));
    }
    let inherited = [driver.socket().to_owned(), driver.descriptor_socket()];
    let own = sockets.iter().find(|socket| !inherited.contains(&PathBuf::from(socket)));
    equal("a socket of its own on which the process listens", own, None)?;
    let socket = driver.socket().to_string_lossy().into_owned();
    ensure(sockets.contains(&socket), || format!("the process listens on {sockets:?}, not on the socket it inherits"))?;
    let beside = std::fs::read_dir(driver.socket().parent().unwrap_or(driver.socket()))?;
    let sockets = beside.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()));
    let foreign = sockets.map(|entry| entry.path()).find(|path| !inherited.contains(path));
    equal("a socket beside those that it inherits", foreign, None)
}

async fn calls_wait(launch: Launch) -> Outcome {
    if launch.way() == Way::Path {
        return not_offered("the driver binds a path, as its operator says");
    }
    let mut driver = Driver::start(&launch).await?;
    hello(&driver).await?;
    driver.kill().await?;
    let calls = {
        let connecting = try_join_all((0..8).map(|_| driver.connect())).await?;
        join_all(connecting.into_iter().map(hello_on))
    };
    let mut calls = tokio::spawn(calls);
    let early = timeout(Duration::from_millis(100), &mut calls).await;
    ensure(early.is_err(), || format!("calls do not wait: {early:?}"))?;
    driver.replace().await?;
    let answers = timeout(Duration::from_secs(10), calls)
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?;
    for answer in answers.map_err(std::io::Error::other)? {
        answer?;
    }
    Ok(())
}

async fn binds_a_path(launch: Launch) -> Outcome {
    let mut driver = Driver::start_by(&launch, Way::Path).await?;
    if launch.way() == Way::Inherited && declines(&mut driver).await? {
        return not_offered("the driver inherits a socket, and says so");
    }
    hello(&driver).await?;
    driver.kill().await?;
    // Looked at before the next process is there, which may be between removing the socket and binding its own.
    ensure(driver.socket().exists(), || "the dead process left no socket behind, so nothing was checked".to_owned())?;
    driver.replace().await?;
    driver.configured().await?;
    Ok(())
}

/// Whether the process exits at once, with a sentence, because it was started in the other of the two ways.
async fn declines(driver: &mut Driver) -> Outcome<bool> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !driver.socket().exists() && Instant::now() < deadline {
        if let Ok(status) = driver.exited(Duration::from_millis(20)).await {
            let log = driver.log()?;
            ensure(!status.success() && !log.trim().is_empty(), || format!("it ends with {status} and says {log:?}"))?;
            return Ok(true);
        }
    }
    Ok(false)
}

async fn three_services(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    for _ in 0..3 {
        let channel = driver.connect().await?;
        hello_on(channel.clone()).await?;
        equal("the process", serving(channel.clone(), "").await?, ServingStatus::Serving)?;
        let client = Client::new(channel.clone(), channel, client.root().to_owned(), 0, launch.journal().clone());
        refused("Stat", client.stat(&client.at("nothing")).await, Reason::NotFound)?;
    }
    Ok(())
}

async fn many_connections(launch: Launch) -> Outcome {
    const CONNECTIONS: usize = 200;
    let driver = Driver::start(&launch).await?;
    let channels = try_join_all((0..CONNECTIONS).map(|_| driver.connect())).await?;
    let first = join_all(channels.iter().cloned().map(hello_on)).await;
    let again = join_all(channels.iter().cloned().map(hello_on)).await;
    for answer in first.into_iter().chain(again) {
        answer?;
    }
    Ok(())
}

async fn registry_dies(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    hello(&driver).await?;
    driver.abandon();
    ends(&mut driver, ORPHANED).await?;
    let mut driver = Driver::start(&launch).await?;
    let _client = driver.configured().await?;
    driver.abandon();
    ends(&mut driver, ORPHANED).await
}

async fn ends(driver: &mut Driver, within: Duration) -> Outcome {
    match driver.exited(within).await {
        Ok(_) => Ok(()),
        Err(_) => broken(format!("the process is still there after {within:?}")),
    }
}

async fn registry_dies_amid_streams(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    client.store("a", &content(1, 16 << 20)).await?;
    let _session = client.open(&client.at("staging"), 0).await?;
    let _unread = client.open_read(ReadRequest { path: client.at("a"), ..Default::default() }).await?;
    driver.abandon();
    ends(&mut driver, ORPHANED).await
}

async fn stops_when_idle(launch: Launch) -> Outcome {
    for configured in [false, true] {
        let mut driver = Driver::start(&launch).await?;
        hello(&driver).await?;
        let _client = if configured { Some(driver.configured().await?) } else { None };
        driver.terminate()?;
        exits_with_0(&mut driver).await?;
    }
    Ok(())
}

pub(super) async fn exits_with_0(driver: &mut Driver) -> Outcome {
    match driver.exited(DRAINED).await {
        Ok(status) => equal("how the process ended", status.to_string(), "exit status: 0".to_owned()),
        Err(_) => broken(format!("the process is still there {DRAINED:?} after SIGTERM")),
    }
}

async fn finishes_on_sigterm(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let unit = client.aligned(100_000) as usize;
    let (wanted, written) = (content(1, 2_000_000), content(2, 2 * unit));
    client.store("a", &wanted).await?;
    let mut session = client.stage(&client.at("staging"), &written[..unit]).await?;
    let mut messages = client.open_read(ReadRequest { path: client.at("a"), ..Default::default() }).await?;
    let mut seen = messages.message().await?.unwrap_or_default().data.to_vec();
    driver.terminate()?;
    session.data(&written[unit..]).await;
    equal("persisted by a write that was under way", session.flush().await?, 2 * unit as u64)?;
    session.end().await?;
    while let Some(message) = messages.message().await? {
        seen.extend_from_slice(&message.data);
    }
    same_bytes("a read that was under way", &seen, &wanted)?;
    exits_with_0(&mut driver).await
}

async fn refuses_after_sigterm(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    client.store("a", &content(1, 16 << 20)).await?;
    let unread = client.open_read(ReadRequest { path: client.at("a"), ..Default::default() }).await?;
    let watched = driver.connect().await?;
    becomes(&watched, ServingStatus::Serving, Duration::from_secs(5)).await?;
    let mut process = watch(&watched, "").await?;
    let mut store = watch(&watched, SERVICE).await?;
    driver.terminate()?;
    told_to_watchers(&mut process, "the process").await?;
    told_to_watchers(&mut store, "the store").await?;
    for service in ["", SERVICE] {
        tells_no_more(&watched, service).await?;
    }
    let late = client.at("late");
    taken_no_more("an old connection", || client.put(&late, "content")).await?;
    taken_no_more("a new connection", || async { Outcome::Ok(driver.client().await?.put(&late, "content").await?) })
        .await?;
    drop(unread);
    exits_with_0(&mut driver).await
}

/// Calls are soon refused, or wait for the next process. Those that cross the news on their way may be taken.
async fn taken_no_more<T, E, F>(how: &str, mut call: impl FnMut() -> F) -> Outcome
where
    F: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + Duration::from_secs(3);
    while matches!(timeout(Duration::from_secs(1), call()).await, Ok(Ok(_))) {
        ensure(Instant::now() < deadline, || format!("calls on {how} are taken 3 seconds after SIGTERM"))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Somebody who watches the health of `service`, and was told that it is SERVING.
async fn watch(channel: &Channel, service: &str) -> Outcome<Streaming<HealthCheckResponse>> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut told = HealthClient::new(channel.clone()).watch(request).await?.into_inner();
    let first = told.message().await?.map(|answer| answer.status());
    equal("what a watcher is told first", first, Some(ServingStatus::Serving))?;
    Ok(told)
}

/// The last that a watcher is told is NOT_SERVING.
async fn told_to_watchers(told: &mut Streaming<HealthCheckResponse>, what: &str) -> Outcome {
    match timeout(Duration::from_secs(2), told.message()).await {
        Ok(Ok(Some(answer))) => equal(&format!("{what} after SIGTERM"), answer.status(), ServingStatus::NotServing),
        Ok(ended) => broken(format!("who watches {what} is not told that it stops: {ended:?}")),
        Err(_) => broken(format!("{what} does not become NOT_SERVING within 2 seconds of SIGTERM")),
    }
}

/// The health of `service` is soon something else than SERVING: NOT_SERVING, or no answer at all.
async fn tells_no_more(channel: &Channel, service: &str) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let answer = timeout(Duration::from_secs(1), serving(channel.clone(), service)).await;
        if !matches!(answer, Ok(Ok(ServingStatus::Serving))) {
            return Ok(());
        }
        ensure(Instant::now() < deadline, || format!("{service:?} is still SERVING 2 seconds after SIGTERM"))?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn stops_despite_a_reader(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    client.store("a", &content(1, 16 << 20)).await?;
    let mut unread = client.open_read(ReadRequest { path: client.at("a"), ..Default::default() }).await?;
    unread.message().await?;
    driver.terminate()?;
    exits_with_0(&mut driver).await
}

async fn logs(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    refused("Stat", client.stat(&client.at("nothing")).await, Reason::NotFound)?;
    driver.terminate()?;
    exits_with_0(&mut driver).await?;
    for line in driver.log()?.lines().filter(|line| line.starts_with('{')) {
        let told: serde_json::Value = match serde_json::from_str(line) {
            Ok(told) => told,
            Err(problem) => return broken(format!("{line:?} begins as JSON and is none: {problem}")),
        };
        for field in ["timestamp", "level", "message"] {
            ensure(told[field].is_string(), || format!("{line:?} has no text {field}"))?;
        }
    }
    if !driver.output()?.is_empty() {
        launch.journal().remark("the driver writes to standard output, which nobody reads");
    }
    Ok(())
}

async fn keeps_parameters_to_itself(launch: Launch) -> Outcome {
    const SECRET: &str = "hunter2-51c4";
    let driver = Driver::start(&launch).await?;
    let client = driver.client().await?;
    let mut parameters = driver.parameters();
    parameters.insert("no_driver_knows_this".to_owned(), SECRET.to_owned());
    refused("Configure", client.configure(parameters).await, Reason::ConfigInvalid)?;
    client.configure(driver.parameters()).await?;
    let readable = vitals::readable(driver.id()?);
    let readable =
        readable.map_err(|problem| Unkept::Skipped(format!("the process cannot be looked at: {problem}")))?;
    ensure(!driver.log()?.contains(SECRET), || "the log shows a parameter".to_owned())?;
    ensure(!driver.output()?.contains(SECRET), || "standard output shows a parameter".to_owned())?;
    ensure(!readable.contains(SECRET), || "arguments or environment show a parameter".to_owned())
}

async fn keeps_urls_to_itself(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    if !client.capabilities().redirect {
        return not_offered("the store gives no URLs");
    }
    client.put(&client.at("a"), "content").await?;
    let url = client.redirect_url(&client.at("a")).await?;
    let Some((_, query)) = url.split_once('?') else { return not_offered("its URLs have no query") };
    let log = driver.log()?;
    let shown = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(_, value)| value.len() > 15 && log.contains(*value));
    ensure(shown.is_none(), || format!("the log shows {} of a URL", shown.map(|(name, _)| name).unwrap_or_default()))
}
