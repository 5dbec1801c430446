//! [`replay`]: asks a driver what a trace says that a registry asked, with as much at once, and compares what it answers.
//!
//! All paths of the trace lie below the root of the client. What the trace says was answered must be answered again, but
//! for what the contract leaves open: [`Plan`] knows what that is.

mod plan;

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use tonic::Status;

use crate::client::{Client, Reply, Session};
use crate::expect::{Outcome, broken, ensure, equal};
use crate::trace::{Answer, Content, Event, Request, Trace};
use plan::Plan;

/// Asks all of `trace`.
pub(crate) async fn replay(client: &Client, trace: &Trace) -> Outcome {
    let mut replay = Replay {
        client,
        plan: Plan::of(trace),
        calls: JoinSet::new(),
        answers: BTreeMap::new(),
        streams: BTreeMap::new(),
    };
    for event in &trace.events {
        replay.follow(event).await?;
    }
    Ok(())
}

struct Replay<'a> {
    client: &'a Client,
    plan: Plan<'a>,
    /// Calls under way.
    calls: JoinSet<(u32, Answer)>,
    /// What calls came to that were over before the trace wants to know.
    answers: BTreeMap<u32, Answer>,
    streams: BTreeMap<u32, Stream>,
}

/// A write stream of the trace.
struct Stream {
    session: Reply<Session>,
    written: u64,
}

impl Replay<'_> {
    async fn follow(&mut self, event: &Event) -> Outcome {
        match event {
            Event::Step(_) => Ok(()),
            Event::Begin(number, Request::Write { path, offset, target }) => {
                let target = if target.is_empty() { String::new() } else { self.at(target) };
                let session = self.client.open_for(&self.at(path), *offset, &target).await;
                self.streams.insert(*number, Stream { session, written: *offset });
                Ok(())
            }
            Event::Begin(number, request) => {
                let (client, number, request) = (self.client.clone(), *number, request.clone());
                self.calls.spawn(async move { (number, ask(&client, request).await) });
                Ok(())
            }
            Event::Data(number, content) => self.write(*number, content).await,
            Event::Flush(number, _) => self.flush(*number).await,
            Event::End(number, answer) if self.streams.contains_key(number) => self.leave(*number, answer).await,
            Event::End(number, Answer::Left) => self.answer(*number).await.map(drop),
            Event::End(number, _) => {
                let seen = self.answer(*number).await?;
                self.plan.check(*number, seen)
            }
        }
    }

    fn at(&self, path: &str) -> String {
        at(self.client, path)
    }

    /// The session of a write stream that the trace goes on with.
    fn stream(&mut self, number: u32) -> Outcome<(&mut Session, &mut u64)> {
        match self.streams.get_mut(&number) {
            Some(Stream { session: Ok(session), written }) => Ok((session, written)),
            Some(Stream { session: Err(status), .. }) => Err(status.clone().into()),
            None => broken(format!("the trace has no stream {number}")),
        }
    }

    async fn write(&mut self, number: u32, content: &Content) -> Outcome {
        let Some(bytes) = content.bytes() else { return broken(format!("the trace does not tell all of {content:?}")) };
        let (session, written) = self.stream(number)?;
        session.data(&bytes).await;
        *written += bytes.len() as u64;
        Ok(())
    }

    /// How much is persisted then is for the granularity to say, whatever it was in the trace.
    async fn flush(&mut self, number: u32) -> Outcome {
        let granularity = self.client.capabilities().granularity.max(1);
        let (session, written) = self.stream(number)?;
        equal("persisted", session.flush().await?, *written - *written % granularity)
    }

    async fn leave(&mut self, number: u32, answer: &Answer) -> Outcome {
        let Some(Stream { session, .. }) = self.streams.remove(&number) else { return Ok(()) };
        if matches!(answer, Answer::Left | Answer::Committed) {
            return session.map(drop).map_err(Into::into);
        }
        let ended = match session {
            Ok(mut session) => session.ended().await,
            Err(status) => Err(status),
        };
        let seen = ended.map_or_else(|status| Answer::failure(&status), |()| Answer::Left);
        ensure(seen == *answer, || format!("a write stream came to {seen:?} instead of {answer:?}"))
    }

    async fn answer(&mut self, number: u32) -> Outcome<Answer> {
        while !self.answers.contains_key(&number) {
            match self.calls.join_next().await {
                Some(Ok((number, answer))) => drop(self.answers.insert(number, answer)),
                Some(Err(problem)) => return broken(problem.to_string()),
                None => return broken(format!("the trace has no call {number}")),
            }
        }
        Ok(self.answers.remove(&number).unwrap_or(Answer::Left))
    }
}

/// A path of the trace below the root of the client.
fn at(client: &Client, path: &str) -> String {
    if path == "/" { client.root().to_owned() } else { format!("{}{path}", client.root()) }
}

async fn ask(client: &Client, request: Request) -> Answer {
    asked(client, request).await.unwrap_or_else(|status| Answer::failure(&status))
}

async fn asked(client: &Client, request: Request) -> Reply<Answer> {
    let at = |path: &str| at(client, path);
    Ok(match request {
        Request::Stat { path } => Answer::found(&client.stat(&at(&path)).await?),
        Request::Get { path } => {
            let (info, bytes) = client.get(&at(&path)).await?;
            Answer::Content(Content::of(&bytes), info.size)
        }
        Request::Put { path, content, if_absent } => {
            let bytes = content.bytes().ok_or_else(|| Status::internal("the trace does not tell all of a content"))?;
            Answer::stored(&client.put_if(&at(&path), bytes, if_absent).await?)
        }
        Request::Read { path, offset, length } => {
            let (info, bytes) = client.read(&at(&path), offset, length).await?;
            Answer::Content(Content::of(&bytes), info.size)
        }
        Request::List { path, start_after, limit } => Answer::page(client.list(&at(&path), &start_after, limit).await?),
        Request::Walk { path, start_after } => walked(client, &path, &start_after).await?,
        Request::Move { source, target } => Answer::stored(&client.rename(&at(&source), &at(&target)).await?),
        Request::Delete { path, recursive } => client.delete(&at(&path), recursive).await.map(|()| Answer::Deleted)?,
        Request::RedirectUrl { path } => Answer::Url(!client.redirect_url(&at(&path)).await?.is_empty()),
        Request::Commit { path, target, size, if_absent } => {
            Answer::stored(&client.commit_if(&at(&path), &at(&target), size, if_absent).await?)
        }
        Request::Write { .. } => Answer::Left,
    })
}

async fn walked(client: &Client, path: &str, start_after: &str) -> Reply<Answer> {
    let start_after = if start_after.is_empty() { String::new() } else { at(client, start_after) };
    let messages = client.walk(&at(client, path), &start_after).await?;
    let entries = messages.into_iter().flat_map(|message| message.entries).map(|mut entry| {
        // A path outside stays as it is, and is seen to be another one.
        if let Some(below) = entry.path.strip_prefix(client.root()) {
            entry.path = below.to_owned();
        }
        entry
    });
    Ok(Answer::paths(entries))
}
