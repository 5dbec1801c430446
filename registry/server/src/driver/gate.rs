//! [`Gate`]: what the supervisor knows of the driver, and where calls wait while it is not there.
//!
//! It knows neither a process nor a connection: the supervisor tells it, calls ask it.

use futures::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::answers::Capabilities;
use super::error::Fault;

/// What an operator's readiness check wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) ready: bool,
    /// A sentence: why not, when not.
    pub(crate) reason: String,
    /// How often the driver was replaced by a new process since the registry started.
    pub(crate) restarts: u64,
    /// Of a driver that the registry started, while it lives.
    pub(crate) pid: Option<u32>,
}

/// Whether calls may flow.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// The driver is about to come: calls wait.
    Starting,
    Ready,
    /// The driver is not expected soon: calls fail at once.
    Down(String),
}

#[derive(Debug, Clone)]
struct State {
    phase: Phase,
    /// As the driver last declared them.
    capabilities: Capabilities,
    /// What the store's own health check says, while the driver works.
    store: Result<(), String>,
    restarts: u64,
    pid: Option<u32>,
}

pub(super) struct Gate {
    state: watch::Sender<State>,
    unconfigured: Notify,
}

impl Gate {
    pub(super) fn new() -> Self {
        let state =
            State { phase: Phase::Starting, capabilities: Capabilities::NONE, store: Ok(()), restarts: 0, pid: None };
        Gate { state: watch::Sender::new(state), unconfigured: Notify::new() }
    }

    /// Returns once calls may flow.
    pub(super) async fn pass(&self, deadline: Instant) -> Result<(), Fault> {
        let mut states = self.state.subscribe();
        let settled = states.wait_for(|state| state.phase != Phase::Starting);
        match timeout_at(deadline, settled).await {
            Ok(Ok(state)) => state.admit(),
            Ok(Err(_)) | Err(_) => Err(Fault::unreachable("the driver is still starting")),
        }
    }

    /// What the driver declared when it was last configured.
    pub(super) fn capabilities(&self) -> Capabilities {
        self.state.borrow().capabilities
    }

    /// The process that hands descriptors over, by the number of restarts before it; `None` when none does now.
    pub(super) fn descriptors_of(&self) -> Option<u64> {
        let state = self.state.borrow();
        let can = state.phase == Phase::Ready && state.capabilities.descriptors;
        can.then_some(state.restarts)
    }

    /// The process that alone writes to the store, by the number of restarts before it; `None` when others may.
    pub(super) fn sole_writer(&self) -> Option<u64> {
        let state = self.state.borrow();
        let alone = state.phase == Phase::Ready && !state.capabilities.shared;
        alone.then_some(state.restarts)
    }

    pub(super) fn status(&self) -> Status {
        let state = self.state.borrow();
        let reason = match (&state.phase, &state.store) {
            (Phase::Starting, _) => "the driver is starting",
            (Phase::Down(why), _) | (Phase::Ready, Err(why)) => why,
            (Phase::Ready, Ok(())) => "the driver is ready",
        };
        Status {
            ready: state.phase == Phase::Ready && state.store.is_ok(),
            reason: reason.to_owned(),
            restarts: state.restarts,
            pid: state.pid,
        }
    }

    /// A driver is there and configured; it is the one after `restarts` others.
    pub(super) fn open(&self, capabilities: Capabilities, pid: Option<u32>, restarts: u64) {
        // What was reported of the driver before this one is settled.
        let _ = self.unconfigured.notified().now_or_never();
        self.state.send_replace(State { phase: Phase::Ready, capabilities, store: Ok(()), restarts, pid });
    }

    /// The driver is gone or replaced: calls wait for the next one.
    pub(super) fn close(&self) {
        self.state.send_modify(|state| {
            state.pid = None;
            state.phase = Phase::Starting;
        });
    }

    pub(super) fn give_up(&self, why: String) {
        self.state.send_modify(|state| {
            state.pid = None;
            state.phase = Phase::Down(why);
        });
    }

    /// What the health check says of the store; a change of it is logged.
    pub(super) fn set_store(&self, health: Result<(), String>) {
        let changed = self.state.send_if_modified(|state| {
            let changed = state.store.is_ok() != health.is_ok();
            state.store.clone_from(&health);
            changed
        });
        match health {
            Ok(()) if changed => tracing::info!("the store can be used again"),
            Err(why) if changed => tracing::warn!(why, "the store cannot be used"),
            _ => {}
        }
    }

    /// A call met a driver that is not configured.
    pub(super) fn report_unconfigured(&self) {
        self.unconfigured.notify_one();
    }

    pub(super) async fn met_unconfigured(&self) {
        self.unconfigured.notified().await;
    }
}

impl State {
    fn admit(&self) -> Result<(), Fault> {
        match &self.phase {
            Phase::Ready => Ok(()),
            Phase::Down(why) => Err(Fault::down(why)),
            Phase::Starting => Err(Fault::unreachable("the driver is still starting")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::driver::error::{DriverErrorKind, Duty};

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(15)
    }

    #[tokio::test(start_paused = true)]
    async fn calls_wait_for_a_driver_that_is_starting() {
        let gate = Gate::new();
        assert!(gate.pass(soon()).now_or_never().is_none());
        let (passed, ()) = tokio::join!(gate.pass(soon()), async { gate.open(Capabilities::NONE, Some(7), 0) });
        passed.unwrap();
        gate.close();
        let fault = gate.pass(soon()).await.unwrap_err();
        assert_eq!((fault.kind, fault.duty), (DriverErrorKind::Unavailable, Duty::Repeat));
    }

    #[tokio::test]
    async fn calls_fail_at_once_when_the_driver_is_given_up() {
        let gate = Gate::new();
        gate.give_up("it died 5 times".to_owned());
        let fault = gate.pass(soon()).now_or_never().unwrap().unwrap_err();
        assert_eq!((fault.duty, fault.to_string()), (Duty::Report, "it died 5 times".to_owned()));
        gate.open(Capabilities::NONE, None, 0);
        assert!(gate.pass(soon()).await.is_ok());
    }

    #[test]
    fn the_status_tells_process_and_store_apart() {
        let gate = Gate::new();
        assert!(!gate.status().ready);
        gate.open(Capabilities::NONE, Some(7), 0);
        assert_eq!((gate.status().ready, gate.status().pid), (true, Some(7)));
        gate.set_store(Err("the disk is gone".to_owned()));
        assert_eq!((gate.status().ready, gate.status().reason.as_str()), (false, "the disk is gone"));
        gate.close();
        assert_eq!((gate.status().ready, gate.status().pid), (false, None));
        gate.open(Capabilities::NONE, Some(8), 1);
        assert_eq!((gate.status().ready, gate.status().restarts), (true, 1));
    }
}
