//! [`Plan`]: what each call of a trace must come to, and what may come out otherwise because of calls beside it.

use std::collections::BTreeMap;

use crate::expect::{Outcome, ensure};
use crate::trace::{Answer, Content, Event, Request, Trace};

/// The calls of a trace by their numbers.
pub(super) struct Plan<'a> {
    calls: BTreeMap<u32, Planned<'a>>,
    staging: Vec<&'a str>,
}

struct Planned<'a> {
    request: &'a Request,
    answer: &'a Answer,
    /// The places of its begin and end among the events.
    begin: usize,
    end: usize,
}

impl<'a> Plan<'a> {
    pub(super) fn of(trace: &'a Trace) -> Self {
        let mut calls = BTreeMap::new();
        for (place, event) in trace.events.iter().enumerate() {
            match event {
                Event::Begin(number, request) => {
                    calls.insert(*number, Planned { request, answer: &Answer::Left, begin: place, end: usize::MAX });
                }
                Event::End(number, answer) => {
                    if let Some(call) = calls.get_mut(number) {
                        (call.answer, call.end) = (answer, place);
                    }
                }
                Event::Step(_) | Event::Data(..) | Event::Flush(..) => {}
            }
        }
        Plan { calls, staging: trace.staging().collect() }
    }

    /// Whether `seen` is what the call may come to.
    pub(super) fn check(&self, number: u32, seen: Answer) -> Outcome {
        let Some(call) = self.calls.get(&number) else { return Ok(()) };
        let beside = self.beside(call);
        let open = |path: &str| self.staging.contains(&path) || beside.iter().any(|other| other.changes(path));
        let wanted = call.answer.clone().without(call.request, open);
        let seen = seen.without(call.request, open);
        let kept = seen == wanted || self.may_be(call, &beside, &seen);
        let text = |answer: &Answer| serde_json::to_string(answer).unwrap_or_default();
        ensure(kept, || format!("{:?} came to {} instead of {}", call.request, text(&seen), text(&wanted)))
    }

    /// The requests whose calls overlap with this one.
    fn beside(&self, call: &Planned<'_>) -> Vec<&'a Request> {
        let others = self.calls.values().filter(|other| other.begin < call.end && call.begin < other.end);
        others.filter(|other| other.begin != call.begin).map(|other| other.request).collect()
    }

    /// A look at a path that others change meanwhile sees it before or after.
    fn may_be(&self, call: &Planned<'_>, beside: &[&Request], seen: &Answer) -> bool {
        let (Request::Stat { path } | Request::Get { path }) = call.request else { return false };
        let changing = beside.iter().copied().filter(|other| other.changes(path));
        let mut states: Vec<Option<&Content>> = changing.map(|other| left_by(other, path)).collect();
        states.extend((!states.is_empty()).then(|| self.before(call, path)));
        let nothing = Answer::Refused("NOT_FOUND".to_owned());
        states.into_iter().any(|state| match (state, seen) {
            (Some(content), Answer::Content(seen, size)) => content == seen && content.length() == *size,
            (Some(content), Answer::Found(size)) => *size == Some(content.length()),
            (None, seen) => *seen == nothing,
            _ => false,
        })
    }

    /// What was at `path` when the call began.
    fn before(&self, call: &Planned<'_>, path: &str) -> Option<&'a Content> {
        let earlier = self.calls.values().filter(|other| other.end < call.begin && other.request.changes(path));
        earlier.max_by_key(|other| other.end).and_then(|other| left_by(other.request, path))
    }
}

/// What is at `path` after the call, as far as its request tells.
fn left_by<'a>(request: &'a Request, path: &str) -> Option<&'a Content> {
    match request {
        Request::Put { path: put, content, .. } if put == path => Some(content),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old";
    const NEW: &str = "new";

    fn text(text: &str) -> Content {
        Content::Text(text.to_owned())
    }

    fn put(content: &str) -> Request {
        Request::Put { path: "/a/b".to_owned(), content: text(content), if_absent: false }
    }

    fn check(trace: &[Event], number: u32, seen: Answer) -> bool {
        Plan::of(&Trace { events: trace.to_vec() }).check(number, seen).is_ok()
    }

    #[test]
    fn who_reads_beside_a_change_sees_the_old_or_the_new() {
        let read = |seen: &str| Answer::Content(text(seen), seen.len() as u64);
        let begin = [
            Event::Begin(1, put(OLD)),
            Event::End(1, Answer::Stored(3)),
            Event::Begin(2, put(NEW)),
            Event::Begin(3, Request::Get { path: "/a/b".to_owned() }),
        ];
        let end = [Event::End(3, read(OLD)), Event::End(2, Answer::Stored(3))];
        let beside = [&begin[..], &end].concat();
        let after = [&begin[..3], &end[1..], &begin[3..], &end[..1]].concat();
        for (seen, in_time, too_late) in [(OLD, true, true), (NEW, true, false), ("mix", false, false)] {
            assert_eq!((check(&beside, 3, read(seen)), check(&after, 3, read(seen))), (in_time, too_late), "{seen}");
        }
        assert!(!check(&beside, 3, Answer::Refused("NOT_FOUND".to_owned())));
        assert!(!check(&beside, 2, Answer::Stored(4)));
    }

    #[test]
    fn a_walk_may_miss_what_comes_or_goes_and_nothing_else() {
        let all = |paths: &[&str]| Answer::Paths(paths.iter().map(|path| ((*path).to_owned(), 3)).collect());
        let trace = [
            Event::Begin(1, Request::Walk { path: "/".to_owned(), start_after: String::new() }),
            Event::Begin(2, put(NEW)),
            Event::Begin(3, Request::Delete { path: "/gone".to_owned(), recursive: true }),
            Event::Begin(4, Request::Write { path: "/s/data".to_owned(), offset: 0, target: String::new() }),
            Event::End(1, all(&["/a/b", "/gone/x", "/stays"])),
        ];
        for (seen, kept) in [
            (vec!["/stays"], true),
            (vec!["/a/b", "/gone/y", "/s/data", "/stays"], true),
            (vec!["/a/b", "/gone/x"], false),
            (vec!["/goner", "/stays"], false),
        ] {
            assert_eq!(check(&trace, 1, all(&seen)), kept, "{seen:?}");
        }
    }
}
