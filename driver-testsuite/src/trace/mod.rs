//! [`Trace`]: what a registry asked of a driver and what it was told, as a file that people read and compare.
//!
//! One event is one line of JSON. What differs between two recordings of the same thing is not in it: times, versions, the
//! sizes of messages, and which answer of several calls at once came first. [`plain`] sees to names that are random.
//! It must not know how a trace is made, nor what is done with it.

mod content;
mod plain;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1 as pb;
use tonic::Status;

pub(crate) use content::{Content, Sketch};

/// Events in their order. Calls overlap when one begins before another has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    pub(crate) events: Vec<Event>,
}

/// A number is that of the call, in the order in which the calls began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// What somebody wanted of the registry then, in words.
    Step(String),
    Begin(u32, Request),
    /// Bytes that a write stream was given since its last event.
    Data(u32, Content),
    /// A flush of a write stream, and how much was persisted then.
    Flush(u32, u64),
    End(u32, Answer),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Request {
    Stat {
        path: String,
    },
    Get {
        path: String,
    },
    Put {
        path: String,
        content: Content,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        if_absent: bool,
    },
    Read {
        path: String,
        offset: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        length: Option<u64>,
    },
    List {
        path: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        start_after: String,
        limit: u32,
    },
    Walk {
        path: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        start_after: String,
    },
    Move {
        source: String,
        target: String,
    },
    Delete {
        path: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recursive: bool,
    },
    RedirectUrl {
        path: String,
    },
    Write {
        path: String,
        offset: u64,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        target: String,
    },
    Commit {
        path: String,
        target: String,
        size: u64,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        if_absent: bool,
    },
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The size of what Put, Move or Commit left at the path.
    Stored(u64),
    /// The size of what Stat found; none for a prefix.
    Found(Option<u64>),
    /// What Get or Read gave, and the size of the whole.
    Content(Content, u64),
    /// The names of a page, each with the size of what is there, none for a prefix; whether more follow.
    Page(Vec<(String, Option<u64>)>, bool),
    /// The paths of a walk, each with the size of what is there.
    Paths(Vec<(String, u64)>),
    Deleted,
    /// Whether there was a URL. It may be signed, so it is not kept.
    Url(bool),
    /// The reason of a StorageError.
    Refused(String),
    /// The gRPC code of a failure that is no answer of the storage.
    Failed(String),
    /// The caller had enough of a stream. For a write stream this is the usual end, and it means nothing.
    Left,
    /// The write stream ended with its session, which was committed.
    Committed,
}

impl Trace {
    /// Reads what [`text`](Self::text) gives.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let named = plain::with_names(text);
        let events = named.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Trace { events })
    }

    /// The lines of the file.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        let mut lines = String::new();
        for event in &self.events {
            lines.push_str(&serde_json::to_string(event)?);
            lines.push('\n');
        }
        Ok(plain::without_names(&lines))
    }

    /// Whether a driver of this granularity can be asked the same: a session is continued at a multiple of it only, and
    /// committed at any size only while its stream is open.
    pub(crate) fn fits(&self, granularity: u64) -> bool {
        let mut open = BTreeMap::new();
        self.events.iter().all(|event| match event {
            Event::Begin(number, Request::Write { path, offset, .. }) => {
                open.insert(*number, path);
                offset.is_multiple_of(granularity.max(1))
            }
            Event::Begin(_, Request::Commit { path, size, .. }) => {
                open.values().any(|open| *open == path) || size.is_multiple_of(granularity.max(1))
            }
            Event::End(number, _) => {
                open.remove(number);
                true
            }
            _ => true,
        })
    }

    /// The events up to the step with these words, and those from there on.
    pub(crate) fn cut(self, step: &str) -> (Self, Self) {
        let at = |event: &Event| matches!(event, Event::Step(words) if words == step);
        let (mut before, mut after) = (self, Trace::default());
        let place = before.events.iter().position(at).unwrap_or(before.events.len());
        after.events = before.events.split_off(place);
        (before, after)
    }

    /// The staging paths of its write sessions: what shows there is left to the driver (clause W4).
    pub(crate) fn staging(&self) -> impl Iterator<Item = &str> {
        self.events.iter().filter_map(|event| match event {
            Event::Begin(_, Request::Write { path, .. }) => Some(path.as_str()),
            _ => None,
        })
    }
}

impl Request {
    /// The paths that it names.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        let (path, other) = match self {
            Request::Move { source, target } => (source, Some(target)),
            Request::Write { path, target, .. } | Request::Commit { path, target, .. } => (path, Some(target)),
            Request::Stat { path }
            | Request::Get { path }
            | Request::Put { path, .. }
            | Request::Read { path, .. }
            | Request::List { path, .. }
            | Request::Walk { path, .. }
            | Request::Delete { path, .. }
            | Request::RedirectUrl { path } => (path, None),
        };
        std::iter::once(path).chain(other).map(String::as_str)
    }

    /// Whether it changes what is at `path`.
    pub(crate) fn changes(&self, path: &str) -> bool {
        match self {
            Request::Put { path: changed, .. } | Request::Commit { target: changed, .. } => changed == path,
            Request::Move { source, target } => source == path || target == path,
            Request::Delete { path: deleted, recursive } => {
                let below = path.strip_prefix(deleted.as_str()).is_some_and(|rest| rest.starts_with('/'));
                deleted == path || (*recursive && below)
            }
            _ => false,
        }
    }

    /// The name of the call.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Request::Stat { .. } => "Stat",
            Request::Get { .. } => "Get",
            Request::Put { .. } => "Put",
            Request::Read { .. } => "Read",
            Request::List { .. } => "List",
            Request::Walk { .. } => "Walk",
            Request::Move { .. } => "Move",
            Request::Delete { .. } => "Delete",
            Request::RedirectUrl { .. } => "RedirectUrl",
            Request::Write { .. } => "Write",
            Request::Commit { .. } => "Commit",
        }
    }
}

impl Answer {
    pub(crate) fn stored(info: &pb::Info) -> Self {
        Answer::Stored(info.size)
    }

    pub(crate) fn found(info: &pb::Info) -> Self {
        Answer::Found(size(Some(info)))
    }

    pub(crate) fn page(page: pb::ListResponse) -> Self {
        let entries = page.entries.into_iter().map(|entry| (entry.name, size(entry.info.as_ref())));
        Answer::Page(entries.collect(), page.more)
    }

    pub(crate) fn paths(entries: impl IntoIterator<Item = pb::walk_response::Entry>) -> Self {
        let entries = entries.into_iter().map(|entry| (entry.path, entry.info.unwrap_or_default().size));
        Answer::Paths(entries.collect())
    }

    /// The same without what `hidden` says of a path, where this answers `request`.
    pub(crate) fn without(self, request: &Request, hidden: impl Fn(&str) -> bool) -> Self {
        match (self, request) {
            (Answer::Page(entries, more), Request::List { path, .. }) => {
                let kept = entries.into_iter().filter(|(name, _)| !hidden(&format!("{path}/{name}")));
                Answer::Page(kept.collect(), more)
            }
            (Answer::Paths(entries), _) => {
                Answer::Paths(entries.into_iter().filter(|(path, _)| !hidden(path)).collect())
            }
            (other, _) => other,
        }
    }

    pub(crate) fn failure(status: &Status) -> Self {
        match from_status(status) {
            Some(error) => Answer::Refused(error.reason().as_str_name().to_owned()),
            None => Answer::Failed(format!("{:?}", status.code())),
        }
    }
}

/// None for a prefix.
fn size(info: Option<&pb::Info>) -> Option<u64> {
    info.filter(|info| !info.is_prefix).map(|info| info.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let events = vec![
            Event::Step("alice pushes".to_owned()),
            Event::Begin(1, Request::Write { path: "/a".to_owned(), offset: 32, target: String::new() }),
            Event::Data(1, Content::of(&crate::content(7, 5000))),
            Event::Flush(1, 5032),
            Event::Begin(2, Request::List { path: "/".to_owned(), start_after: String::new(), limit: 5 }),
            Event::End(2, Answer::Page(vec![("a".to_owned(), None), ("b".to_owned(), Some(3))], false)),
            Event::End(1, Answer::Left),
        ];
        let trace = Trace { events };
        let text = trace.text().unwrap();
        assert_eq!(Trace::parse(&text).unwrap(), trace);
        assert!(text.contains(r#"{"data":[1,{"pattern":[7,0,5000]}]}"#), "{text}");
        assert!(trace.fits(16) && !trace.fits(64));
        assert_eq!(trace.staging().collect::<Vec<_>>(), ["/a"]);
    }
}
