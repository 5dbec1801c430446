//! Watching over a driver: whether its process answers, and whether its store can be used.
//!
//! The first may cost a driver its life, the second never: a back end that is down is not the driver's fault.

use std::time::Duration;

use storagedriver_proto::v1alpha1::SERVICE;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::error::Fault;
use super::handshake;
use super::retry::{Call, within};

/// How often a driver is asked, and how long it may take to answer.
const PERIOD: Duration = Duration::from_secs(5);
/// So much later than it was set an alarm goes off only where the processor is wanted by too many.
const LATE: Duration = Duration::from_millis(500);
/// So many periods without an answer mean that the process hangs.
const MISSES_MAX: u32 = 3;

/// Whether the store can be used, and why not.
pub(super) type StoreHealth = Result<(), String>;

/// Watches a driver that the registry started, and tells `note` of its store; completes when its process has not answered for too long.
pub(super) async fn hangs(control: &Channel, note: impl Fn(StoreHealth)) {
    let mut ticks = ticks();
    let mut misses = 0;
    while misses < MISSES_MAX {
        ticks.tick().await;
        let asked = Instant::now();
        let answers = answers(control, &note).await;
        // A late alarm tells that this process had no time itself to hear an answer, and nothing of the driver.
        let was_heard = asked.elapsed() < PERIOD + LATE;
        misses = if answers { 0 } else { misses + u32::from(was_heard) };
    }
}

/// Watches a driver that somebody else runs, and tells `note` of its store; completes when another process has taken the place of `instance`.
pub(super) async fn is_replaced(control: &Channel, note: impl Fn(StoreHealth), driver: &str, instance: u64) {
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        let answers = answers(control, &note).await;
        if answers && handshake::hello(control, driver, Call::HELLO).await.is_ok_and(|now| now.instance != instance) {
            return;
        }
    }
}

fn ticks() -> Interval {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Whether the process answers.
async fn answers(control: &Channel, note: impl Fn(StoreHealth)) -> bool {
    let checked = check(control).await;
    let answers = checked.is_ok();
    note(checked.unwrap_or_else(|fault| Err(format!("the driver does not answer: {fault}"))));
    answers
}

/// The store's health, from a process that answers at all.
async fn check(control: &Channel) -> Result<StoreHealth, Fault> {
    let deadline = Instant::now() + PERIOD;
    if status(control, "", deadline).await? != ServingStatus::Serving {
        return Ok(Err("the driver is stopping".to_owned()));
    }
    match status(control, SERVICE, deadline).await? {
        ServingStatus::Serving => Ok(Ok(())),
        _ => Ok(Err("the driver says that its store cannot be used now".to_owned())),
    }
}

async fn status(control: &Channel, service: &str, deadline: Instant) -> Result<ServingStatus, Fault> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = within(deadline, HealthClient::new(control.clone()).check(request)).await??;
    Ok(answer.into_inner().status())
}
