//! Notes as a trace: in an order that is the same whenever the same was asked.
//!
//! What chance decides is not told: which of several calls at once passed first, when a caller dropped a stream that it had
//! no more use for, how much of what was never flushed had passed by then, and whether a stream heard before that its
//! session was committed or deleted.

use std::collections::HashMap;

use super::notes::Call;
use crate::trace::{Answer, Event, Request, Trace};

/// An event with its place: a time, and a rank among what happened then.
type Placed = ((u64, u8), Event);

/// `steps` are the words noted, each with its time.
pub(super) fn trace(calls: &[Call], steps: &[(u64, String)]) -> Trace {
    let mut placed: Vec<Placed> = steps.iter().map(|(time, words)| ((*time, 0), Event::Step(words.clone()))).collect();
    for (number, call) in calls.iter().enumerate() {
        place(number as u32, call, calls, &mut placed);
    }
    placed.sort_by_key(|(place, _)| *place);
    let mut events: Vec<Event> = placed.into_iter().map(|(_, event)| event).collect();
    sort_runs(&mut events, begun_at_once, request);
    renumber(&mut events);
    sort_runs(&mut events, ended_at_once, rank);
    hide_staging(Trace { events })
}

fn place(number: u32, call: &Call, calls: &[Call], placed: &mut Vec<Placed>) {
    placed.push(((call.begun, 0), Event::Begin(number, call.request.clone())));
    for (time, data, persisted) in &call.flushes {
        placed.extend(data.iter().map(|data| ((*time, 0), Event::Data(number, data.clone()))));
        placed.push(((*time, 0), Event::Flush(number, *persisted)));
    }
    placed.push(end(number, call, calls));
}

/// A call in good order ends with its last answer, since what follows that tells its caller nothing.
fn end(number: u32, call: &Call, calls: &[Call]) -> Placed {
    if let Some(time) = calls.iter().find_map(|other| commits(other, call)) {
        return ((time, 2), Event::End(number, Answer::Committed));
    }
    match &call.failure {
        Some((time, _)) if calls.iter().any(|other| deletes(other, call, *time)) => {
            ((call.last, 1), Event::End(number, Answer::Left))
        }
        Some((time, failure)) => ((*time, 1), Event::End(number, failure.clone())),
        None => ((call.last, 1), Event::End(number, call.answer())),
    }
}

/// When `commit` was answered, if it is the commit of the session that the stream `write` was writing.
fn commits(commit: &Call, write: &Call) -> Option<u64> {
    let (Request::Commit { path: committed, .. }, Request::Write { path, .. }) = (&commit.request, &write.request)
    else {
        return None;
    };
    let ended = write.left.into_iter().chain(write.failure.as_ref().map(|(time, _)| *time)).min();
    let was_open = write.begun < commit.begun && ended.is_none_or(|time| time > commit.begun);
    (committed == path && commit.failure.is_none() && commit.is_over && was_open).then_some(commit.last)
}

/// Whether `delete` took the session of the stream `write` away before `time`, when that failed. Its caller had left it, and
/// might have been heard first.
fn deletes(delete: &Call, write: &Call, time: u64) -> bool {
    let (Request::Delete { .. }, Request::Write { path, .. }) = (&delete.request, &write.request) else { return false };
    delete.request.changes(path) && (write.begun..time).contains(&delete.begun)
}

/// Sorts each run of events that `at_once` says are in no order.
fn sort_runs<K: Ord>(events: &mut [Event], at_once: fn(&Event) -> bool, key: fn(&Event) -> Option<K>) {
    for run in events.chunk_by_mut(|one, other| at_once(one) && at_once(other)) {
        run.sort_by_key(key);
    }
}

/// Calls that begin with no end of another between them. Opening a write stream is waited for.
fn begun_at_once(event: &Event) -> bool {
    request(event).is_some_and(|request| !matches!(request, Request::Write { .. }))
}

fn ended_at_once(event: &Event) -> bool {
    matches!(event, Event::End(..))
}

fn request(event: &Event) -> Option<Request> {
    if let Event::Begin(_, request) = event { Some(request.clone()) } else { None }
}

/// A stream outlives the commit of its session.
fn rank(event: &Event) -> Option<(bool, u32)> {
    if let Event::End(number, answer) = event { Some((*answer == Answer::Committed, *number)) } else { None }
}

/// Numbers calls from 1, in the order in which they begin.
fn renumber(events: &mut [Event]) {
    let mut numbers = HashMap::new();
    for event in events {
        if let Event::Begin(number, _) | Event::Data(number, _) | Event::Flush(number, _) | Event::End(number, _) =
            event
        {
            let next = numbers.len() as u32 + 1;
            *number = *numbers.entry(*number).or_insert(next);
        }
    }
}

/// Whether a listing shows a staging path is left to the driver (clause W4), so a trace never tells.
fn hide_staging(trace: Trace) -> Trace {
    let staging: Vec<String> = trace.staging().map(str::to_owned).collect();
    let hidden = |path: &str| staging.iter().any(|staging| staging == path);
    let mut requests = HashMap::new();
    let events = trace.events.into_iter().map(|event| match event {
        Event::Begin(number, request) => {
            requests.insert(number, request.clone());
            Event::Begin(number, request)
        }
        Event::End(number, answer) => match requests.get(&number) {
            Some(request) => Event::End(number, answer.without(request, hidden)),
            None => Event::End(number, answer),
        },
        other => other,
    });
    Trace { events: events.collect() }
}
