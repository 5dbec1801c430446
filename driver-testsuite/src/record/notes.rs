//! [`Notes`]: what passes, call by call, with the order in which it passed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prost::Message;
use storagedriver_proto::v1alpha1 as pb;
use storagedriver_proto::v1alpha1::write_request::Kind;
use tokio::sync::watch;
use tonic::Status;

use crate::trace::{Answer, Content, Request, Sketch, Trace};

/// Shared by all connections.
#[derive(Default)]
pub(super) struct Notes {
    state: Mutex<State>,
    /// Told of everything that is noted.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    /// Moves with everything that is noted.
    clock: u64,
    calls: Vec<Call>,
    steps: Vec<(u64, String)>,
    holds: Vec<Hold>,
    written: u64,
}

/// One call, as far as it has come.
pub(super) struct Call {
    pub(super) request: Request,
    pub(super) begun: u64,
    /// When its last answer came, of a write stream the last to a flush; when it began, before that.
    pub(super) last: u64,
    /// Bytes of a write stream that no flush followed yet. When none does, it is chance how many of them passed.
    unflushed: Sketch,
    /// The flushes of a write stream: when they were answered, the bytes before each, and what was persisted.
    pub(super) flushes: Vec<(u64, Option<Content>, u64)>,
    answer: Gathered,
    /// When and how it ended, where that was not in good order.
    pub(super) failure: Option<(u64, Answer)>,
    pub(super) is_over: bool,
    /// When its caller had gone, or all was over.
    pub(super) left: Option<u64>,
}

/// An answer, as far as it has come.
#[derive(Default)]
enum Gathered {
    #[default]
    Nothing,
    Whole(Answer),
    Read(u64, Sketch),
    Walked(Vec<pb::walk_response::Entry>),
}

struct Hold {
    call: &'static str,
    part: String,
    kept: usize,
    released: bool,
}

impl Hold {
    fn takes(&self, request: &Request) -> bool {
        !self.released && request.name() == self.call && request.paths().any(|path| path.contains(&self.part))
    }
}

impl Notes {
    fn note<T>(&self, note: impl FnOnce(&mut State) -> T) -> T {
        let noted = note(&mut self.tick());
        self.changed.send_replace(());
        noted
    }

    fn tick(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock += 1;
        state
    }

    pub(super) fn step(&self, words: &str) {
        self.note(|state| state.steps.push((state.clock, words.to_owned())));
    }

    pub(super) fn hold(&self, call: &'static str, part: &str) -> usize {
        self.note(|state| {
            state.holds.push(Hold { call, part: part.to_owned(), kept: 0, released: false });
            state.holds.len() - 1
        })
    }

    pub(super) fn release(&self, hold: usize) {
        self.note(|state| state.holds.get_mut(hold).map(|hold| hold.released = true));
    }

    pub(super) fn written(&self) -> u64 {
        self.tick().written
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        // The sender is ours, so there is no end of changes.
        let _ = self.changed.subscribe().wait_for(|()| holds(&self.tick())).await;
    }

    pub(super) async fn kept(&self, hold: usize, calls: usize) {
        self.until(|state| state.holds.get(hold).is_none_or(|hold| hold.kept >= calls)).await;
    }

    async fn released(&self, hold: usize) {
        self.until(|state| state.holds.get(hold).is_none_or(|hold| hold.released)).await;
    }

    pub(super) fn trace(&self) -> Trace {
        let state = self.tick();
        super::order::trace(&state.calls, &state.steps)
    }
}

/// One call under way. Calls that are not to be noted are never begun.
#[derive(Clone)]
pub(super) struct Noted {
    notes: Arc<Notes>,
    name: Arc<str>,
    number: Arc<Mutex<Option<usize>>>,
}

impl Noted {
    pub(super) fn new(notes: Arc<Notes>, name: String) -> Self {
        Noted { notes, name: name.into(), number: Arc::default() }
    }

    fn number(&self) -> MutexGuard<'_, Option<usize>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: impl FnOnce(&mut Call, u64)) {
        let Some(number) = *self.number() else { return };
        self.notes.note(|state| {
            let clock = state.clock;
            if let Some(call) = state.calls.get_mut(number) {
                note(call, clock);
            }
        });
    }

    /// A message of the caller; it goes on to the driver when nobody holds it.
    pub(super) fn asked(&self, message: Bytes) -> impl Future<Output = Bytes> + Send + use<> {
        let begun = *self.number();
        let hold = match begun {
            None => self.begin(&message),
            Some(_) => {
                self.go_on(&message);
                None
            }
        };
        let notes = Arc::clone(&self.notes);
        async move {
            if let Some(hold) = hold {
                notes.released(hold).await;
            }
            message
        }
    }

    /// The hold that keeps the call, if one does.
    fn begin(&self, message: &Bytes) -> Option<usize> {
        let request = decode_request(&self.name, message)?;
        let mut number = self.number();
        self.notes.note(|state| {
            *number = Some(state.calls.len());
            let hold = state.holds.iter().position(|hold| hold.takes(&request));
            if let Some(hold) = hold.and_then(|hold| state.holds.get_mut(hold)) {
                hold.kept += 1;
            }
            state.calls.push(Call::new(request, state.clock));
            hold
        })
    }

    fn go_on(&self, message: &Bytes) {
        let Ok(pb::WriteRequest { kind: Some(Kind::Data(data)) }) = Message::decode(message.clone()) else { return };
        self.note(|call, _| call.unflushed.take(&data));
        self.notes.note(|state| state.written += data.len() as u64);
    }

    /// A message of the driver.
    pub(super) fn answered(&self, message: &Bytes) {
        self.note(|call, clock| {
            // What cannot be decoded passes all the same, and is for its caller to judge.
            let _ = call.gather(message.clone(), clock);
        });
    }

    pub(super) fn failed(&self, status: &Status) {
        self.note(|call, clock| call.failure = Some((clock, Answer::failure(status))));
    }

    pub(super) fn ended(&self) {
        self.note(|call, _| call.is_over = true);
    }

    pub(super) fn left(&self) {
        self.note(|call, clock| call.left = Some(clock));
    }
}

fn decode_request(name: &str, message: &Bytes) -> Option<Request> {
    let m = message.clone();
    Some(match name {
        "Stat" => Request::Stat { path: pb::StatRequest::decode(m).ok()?.path },
        "Get" => Request::Get { path: pb::GetRequest::decode(m).ok()?.path },
        "Put" => {
            let pb::PutRequest { path, content, if_absent } = pb::PutRequest::decode(m).ok()?;
            Request::Put { path, content: Content::of(&content), if_absent }
        }
        "Read" => {
            let pb::ReadRequest { path, offset, length, .. } = pb::ReadRequest::decode(m).ok()?;
            Request::Read { path, offset, length }
        }
        "List" => {
            let pb::ListRequest { path, start_after, limit } = pb::ListRequest::decode(m).ok()?;
            Request::List { path, start_after, limit }
        }
        "Walk" => {
            let pb::WalkRequest { path, start_after } = pb::WalkRequest::decode(m).ok()?;
            Request::Walk { path, start_after }
        }
        _ => return decode_change(name, m),
    })
}

fn decode_change(name: &str, message: Bytes) -> Option<Request> {
    Some(match name {
        "Move" => {
            let pb::MoveRequest { source, target } = pb::MoveRequest::decode(message).ok()?;
            Request::Move { source, target }
        }
        "Delete" => {
            let pb::DeleteRequest { path, recursive } = pb::DeleteRequest::decode(message).ok()?;
            Request::Delete { path, recursive }
        }
        "RedirectUrl" => Request::RedirectUrl { path: pb::RedirectUrlRequest::decode(message).ok()?.path },
        "Write" => {
            let Kind::Open(open) = pb::WriteRequest::decode(message).ok()?.kind? else { return None };
            Request::Write { path: open.path, offset: open.offset, target: open.target }
        }
        "Commit" => {
            let pb::CommitRequest { path, target, size, if_absent } = pb::CommitRequest::decode(message).ok()?;
            Request::Commit { path, target, size, if_absent }
        }
        _ => return None,
    })
}

impl Call {
    fn new(request: Request, clock: u64) -> Self {
        Call {
            request,
            begun: clock,
            last: clock,
            unflushed: Sketch::default(),
            flushes: Vec::new(),
            answer: Gathered::default(),
            failure: None,
            is_over: false,
            left: None,
        }
    }

    fn gather(&mut self, message: Bytes, clock: u64) -> Result<(), prost::DecodeError> {
        if let Request::Write { .. } = self.request {
            self.acknowledge(pb::WriteResponse::decode(message)?, clock);
            return Ok(());
        }
        self.last = clock;
        let stored = |info: Option<pb::Info>| Gathered::Whole(Answer::stored(&info.unwrap_or_default()));
        self.answer = match (&self.request, std::mem::take(&mut self.answer)) {
            (Request::Stat { .. }, _) => {
                Gathered::Whole(Answer::found(&pb::StatResponse::decode(message)?.info.unwrap_or_default()))
            }
            (Request::Get { .. }, _) => {
                let pb::GetResponse { info, content } = pb::GetResponse::decode(message)?;
                Gathered::Whole(Answer::Content(Content::of(&content), info.unwrap_or_default().size))
            }
            (Request::Put { .. }, _) => stored(pb::PutResponse::decode(message)?.info),
            (Request::Move { .. }, _) => stored(pb::MoveResponse::decode(message)?.info),
            (Request::Commit { .. }, _) => stored(pb::CommitResponse::decode(message)?.info),
            (Request::Delete { .. }, _) => Gathered::Whole(Answer::Deleted),
            (Request::RedirectUrl { .. }, _) => {
                Gathered::Whole(Answer::Url(!pb::RedirectUrlResponse::decode(message)?.url.is_empty()))
            }
            (Request::List { .. }, _) => Gathered::Whole(Answer::page(pb::ListResponse::decode(message)?)),
            (Request::Read { .. }, before) => read_on(before, &pb::ReadResponse::decode(message)?),
            (Request::Walk { .. }, before) => walk_on(before, pb::WalkResponse::decode(message)?),
            (Request::Write { .. }, before) => before,
        };
        Ok(())
    }

    /// What is acknowledged between flushes is left to the driver.
    fn acknowledge(&mut self, answer: pb::WriteResponse, clock: u64) {
        if answer.flushed {
            self.last = clock;
            let data = std::mem::take(&mut self.unflushed);
            self.flushes.push((clock, (data.length() > 0).then(|| data.content()), answer.persisted));
        }
    }

    /// What it came to, when it ended in good order.
    pub(super) fn answer(&self) -> Answer {
        match &self.answer {
            Gathered::Read(size, sketch) if self.is_over || self.has_all(*size, sketch) => {
                Answer::Content(sketch.content(), *size)
            }
            _ if !self.is_over => Answer::Left,
            Gathered::Nothing if matches!(self.request, Request::Walk { .. }) => Answer::Paths(Vec::new()),
            Gathered::Nothing | Gathered::Read(..) => Answer::Left,
            Gathered::Whole(answer) => answer.clone(),
            Gathered::Walked(entries) => Answer::paths(entries.iter().cloned()),
        }
    }

    /// Who has all the bytes that were asked for does not wait for the end of the stream.
    fn has_all(&self, size: u64, sketch: &Sketch) -> bool {
        let Request::Read { offset, length, .. } = self.request else { return false };
        let left = size.saturating_sub(offset);
        sketch.length() == length.map_or(left, |length| length.min(left))
    }
}

fn read_on(before: Gathered, message: &pb::ReadResponse) -> Gathered {
    let (size, mut sketch) = match before {
        Gathered::Read(size, sketch) => (size, sketch),
        _ => (message.info.as_ref().map_or(0, |info| info.size), Sketch::default()),
    };
    sketch.take(&message.data);
    Gathered::Read(size, sketch)
}

fn walk_on(before: Gathered, message: pb::WalkResponse) -> Gathered {
    let mut entries = if let Gathered::Walked(entries) = before { entries } else { Vec::new() };
    entries.extend(message.entries);
    Gathered::Walked(entries)
}
