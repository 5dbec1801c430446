//! What one case did: its calls, its remarks, and what they cost, within the ceilings of the whole run.
//!
//! It sees calls as names, sizes and outcomes; it never looks into content and never keeps it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use storagedriver_proto::error::from_status;
use tonic::Status;

use crate::failed::{FailedCall, causes_of};

/// Calls of one case that are kept: the last ones, which led to a failure.
const KEPT: usize = 400;

/// One line of a transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// When it began, in milliseconds after the case began.
    pub at_ms: f64,
    /// How long it took, in milliseconds; absent for a message of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// The call of the protocol.
    pub call: String,
    /// Its arguments, without content.
    pub arguments: String,
    /// `OK`, or the error.
    pub outcome: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.took_ms.map(|took| format!(" ({took:.3} ms)")).unwrap_or_default();
        write!(f, "{:10.3} ms  {} {}: {}{took}", self.at_ms, self.call, self.arguments, self.outcome)
    }
}

/// What a run may spend, and has spent. Shared by all cases.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    ceiling: Ceiling,
}

/// What a run may spend; `None` where it may spend without end.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ceiling {
    pub requests: Option<u64>,
    /// In both directions together.
    pub bytes: Option<u64>,
    /// In the currency of the prices.
    pub cost: Option<f64>,
    /// Of a thousand requests.
    pub price_requests: f64,
    /// Of a GiB in either direction.
    pub price_gib: f64,
}

/// What a run has spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    pub requests: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// In the currency of the prices given; 0 without.
    pub cost: f64,
}

impl Meter {
    pub fn new(ceiling: Ceiling) -> Self {
        Meter { ceiling, ..Meter::default() }
    }

    /// What has been spent so far.
    pub fn traffic(&self) -> Traffic {
        let [requests, sent_bytes, received_bytes] =
            [&self.requests, &self.sent, &self.received].map(|counter| counter.load(Ordering::Relaxed));
        let gib = (sent_bytes + received_bytes) as f64 / f64::from(1 << 30);
        let cost = requests as f64 / 1000.0 * self.ceiling.price_requests + gib * self.ceiling.price_gib;
        Traffic { requests, sent_bytes, received_bytes, cost }
    }

    /// The ceiling that has been reached, in words.
    pub fn exhausted(&self) -> Option<String> {
        let (spent, ceiling) = (self.traffic(), &self.ceiling);
        let reached = |what: &str, most: String| Some(format!("the run may spend {most} {what}, and has"));
        match ceiling {
            Ceiling { requests: Some(most), .. } if spent.requests >= *most => reached("requests", most.to_string()),
            Ceiling { bytes: Some(most), .. } if spent.sent_bytes + spent.received_bytes >= *most => {
                reached("bytes", most.to_string())
            }
            Ceiling { cost: Some(most), .. } if spent.cost >= *most => reached("of money", most.to_string()),
            _ => None,
        }
    }
}

/// The journal of one case. Clones write into the same one.
#[derive(Debug, Clone)]
pub struct Journal {
    meter: Arc<Meter>,
    began: Instant,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    calls: VecDeque<Call>,
    remarks: Vec<String>,
    logs: Vec<String>,
}

impl Journal {
    pub fn new(meter: Arc<Meter>) -> Self {
        Journal { meter, began: Instant::now(), kept: Arc::default() }
    }

    fn kept<T>(&self, with: impl FnOnce(&mut Kept) -> T) -> T {
        with(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a call and notes it. A ceiling that is reached refuses it.
    pub(crate) async fn call<T>(
        &self,
        call: &str,
        arguments: impl FnOnce() -> String,
        calling: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        if let Some(reached) = self.meter.exhausted() {
            return Err(Status::cancelled(reached));
        }
        self.count();
        let arguments = arguments();
        let mut pending = Pending { journal: self, call, arguments: &arguments, begin: Instant::now(), outcome: None };
        let result = calling.await;
        pending.outcome = Some(outcome(&result));
        drop(pending);
        result.map_err(|status| FailedCall::named(status, call, &arguments))
    }

    /// Notes that a stream failed, after a call that began well.
    pub(crate) fn stream<T>(&self, call: &str, arguments: &str, result: Result<T, Status>) -> Result<T, Status> {
        result.map_err(|status| {
            self.message(call, arguments.to_owned(), &failure(&status));
            FailedCall::named(status, call, arguments)
        })
    }

    /// Counts a call.
    pub(crate) fn count(&self) {
        self.meter.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a message of a stream.
    pub(crate) fn message(&self, call: &str, arguments: String, outcome: &str) {
        self.write(call, arguments, Instant::now(), None, outcome.to_owned());
    }

    fn write(&self, call: &str, arguments: String, begin: Instant, took: Option<Duration>, outcome: String) {
        let milliseconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let at_ms = milliseconds(begin.duration_since(self.began));
        let call = Call { at_ms, took_ms: took.map(milliseconds), call: call.to_owned(), arguments, outcome };
        self.kept(|kept| {
            if kept.calls.len() == KEPT {
                kept.calls.pop_front();
            }
            kept.calls.push_back(call);
        });
    }

    /// The ceiling that the run has reached, in words.
    pub(crate) fn exhausted(&self) -> Option<String> {
        self.meter.exhausted()
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.meter.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.meter.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes what the clauses do not forbid and an operator should know.
    pub fn remark(&self, remark: impl Into<String>) {
        self.kept(|kept| kept.remarks.push(remark.into()));
    }

    /// Keeps the log of a driver process that the case started.
    pub(crate) fn keep_log(&self, log: String) {
        self.kept(|kept| kept.logs.push(log));
    }

    /// The last calls, in the order in which they ended.
    pub fn calls(&self) -> Vec<Call> {
        self.kept(|kept| kept.calls.iter().cloned().collect())
    }

    pub fn remarks(&self) -> Vec<String> {
        self.kept(|kept| kept.remarks.clone())
    }

    /// What the case's driver processes wrote to standard error.
    pub fn logs(&self) -> String {
        self.kept(|kept| kept.logs.join(""))
    }
}

/// A call that is being made. One that is given up is noted too: what a case waited for is what it hung on.
struct Pending<'a> {
    journal: &'a Journal,
    call: &'a str,
    arguments: &'a str,
    begin: Instant,
    outcome: Option<String>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| "no answer until the caller went away".to_owned());
        self.journal.write(self.call, self.arguments.to_owned(), self.begin, Some(self.begin.elapsed()), outcome);
    }
}

fn outcome<T>(result: &Result<T, Status>) -> String {
    result.as_ref().err().map_or_else(|| "OK".to_owned(), failure)
}

fn failure(status: &Status) -> String {
    match from_status(status) {
        Some(error) => format!("{}: {}", error.reason().as_str_name(), status.message()),
        None => format!("{:?} without a StorageError: {}{}", status.code(), status.message(), causes_of(status)),
    }
}
