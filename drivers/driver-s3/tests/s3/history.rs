//! A caller who puts, moves, reads and stages by chance, and holds every answer against all that was answered before.
//!
//! It knows nothing of what is wrong with the server, nor with the way there.

use std::fmt::Debug;
use std::time::Duration;

use driver_testsuite::{Client, Session, content};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1::StorageError;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tokio::time::sleep;

use crate::support::{PART, Reply};
use crate::worlds::{Held, World, Worlds};

const NAMES: [&str; 3] = ["a", "b", "c"];
/// What Put and Get take at most.
const SMALL: usize = 1 << 20;
/// Attempts at what has to succeed some day.
const ATTEMPTS: u32 = 60;

/// One caller, with a folder of his own.
pub(crate) struct Caller {
    driver: Client,
    folder: String,
    chance: StdRng,
    worlds: Worlds,
    /// Of the last content.
    number: u64,
    /// What was asked, and how that came out.
    pub(crate) told: Vec<String>,
}

/// How a call came out.
#[derive(Debug)]
enum Outcome<T> {
    Done(T),
    NotFound,
    /// It was not told; whether it may have happened.
    Lost(bool),
}

impl Caller {
    pub(crate) fn new(driver: Client, number: u64, seed: u64) -> Self {
        let (folder, chance) = (format!("/caller-{number}"), StdRng::seed_from_u64(seed ^ number << 32));
        Caller { driver, folder, chance, worlds: Worlds::default(), number: number << 32, told: Vec::new() }
    }

    /// Does something that chance says.
    pub(crate) async fn step(&mut self) {
        let name = self.name();
        match self.chance.random_range(0..16) {
            0..3 => self.put(name).await,
            3..5 => self.rename(name).await,
            5 => self.delete(name).await,
            6..8 => self.get(name).await,
            8..11 => self.read(name).await,
            11 => self.stat(name).await,
            12 => self.list().await,
            _ => self.stage(name).await,
        }
    }

    /// What is there is what it may be, as another driver sees it.
    pub(crate) async fn verify(&mut self, driver: Client) {
        self.driver = driver;
        for name in NAMES {
            self.read(name).await;
            self.get(name).await;
            let left = self.worlds.at(name).len();
            assert_eq!(left, 1, "{name} is still one of {left}: {}", self.history());
        }
        self.list().await;
    }

    fn name(&mut self) -> &'static str {
        NAMES.choose(&mut self.chance).unwrap()
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    fn history(&self) -> String {
        self.told.join("\n")
    }

    /// A content that no other is like, also not in its length.
    fn content(&mut self, length: usize) -> Held {
        self.number += 1;
        (self.number, length + (self.number & 0xffff) as usize)
    }

    /// Refusals that nothing but trouble on the way explains are told as such, and never as anything else.
    fn outcome<T: Debug>(&mut self, call: &str, reply: Reply<T>) -> Result<Outcome<T>, StorageError> {
        let message = reply.as_ref().err().map(|status| status.message().to_owned()).unwrap_or_default();
        let outcome = match reply {
            Ok(answer) => Ok(Outcome::Done(answer)),
            Err(status) => match from_status(&status) {
                None => panic!("{call}: {status:?} is no answer of the storage: {}", self.history()),
                Some(error) => match error.reason() {
                    Reason::NotFound => Ok(Outcome::NotFound),
                    Reason::Unavailable => Ok(Outcome::Lost(error.may_have_happened)),
                    Reason::Throttled => Ok(Outcome::Lost(true)),
                    _ => Err(error),
                },
            },
        };
        let shown = match &outcome {
            Ok(Outcome::Done(_)) => "OK".to_owned(),
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("{error:?}"),
        };
        self.told.push(format!("{call}: {shown} {message}"));
        outcome
    }

    /// The same of a call that can be refused for no other reason.
    fn plain<T: Debug>(&mut self, call: &str, reply: Reply<T>) -> Outcome<T> {
        self.outcome(call, reply).unwrap_or_else(|error| panic!("{call}: {error:?}: {}", self.history()))
    }

    fn saw(&mut self, what: &str, name: &str, is_so: impl Fn(Option<Held>) -> bool) {
        let possible = self.worlds.at(name);
        let is_possible = self.worlds.saw(|world| is_so(world.get(name)));
        assert!(is_possible, "{what} at {name}, where there may be {possible:?}: {}", self.history());
    }

    async fn put(&mut self, name: &'static str) {
        let length = self.chance.random_range(0..100_000);
        let held = self.content(length);
        let reply = self.driver.put(&self.path(name), content(held.0, held.1)).await;
        match self.plain(&format!("put {held:?} at {name}"), reply) {
            Outcome::Done(info) => {
                assert_eq!(info.size, held.1 as u64);
                self.worlds.became(name, Some(held));
            }
            Outcome::Lost(true) => self.worlds.may_have_become(name, Some(held)),
            Outcome::Lost(false) => {}
            Outcome::NotFound => panic!("a put finds nothing: {}", self.history()),
        }
    }

    async fn rename(&mut self, from: &'static str) {
        let to = self.name();
        let reply = self.driver.rename(&self.path(from), &self.path(to)).await;
        let copied = |world: &World| world.get(from).map_or(world.clone(), |held| world.with(to, Some(held)));
        let moved = |world: &World| if from == to { world.clone() } else { copied(world).with(from, None) };
        match self.plain(&format!("move {from} to {to}"), reply) {
            Outcome::Done(info) => {
                self.saw("content that was moved", from, |held| held.is_some_and(|held| held.1 as u64 == info.size));
                self.worlds.may_be(|world| vec![moved(world)]);
            }
            Outcome::NotFound => self.saw("nothing to move", from, |held| held.is_none()),
            Outcome::Lost(true) => self.worlds.may_be(|world| vec![world.clone(), copied(world), moved(world)]),
            Outcome::Lost(false) => {}
        }
    }

    async fn delete(&mut self, name: &'static str) {
        let reply = self.driver.delete(&self.path(name), false).await;
        match self.plain(&format!("delete {name}"), reply) {
            Outcome::Done(()) => self.worlds.became(name, None),
            Outcome::Lost(true) => self.worlds.may_have_become(name, None),
            Outcome::Lost(false) => {}
            Outcome::NotFound => panic!("a deletion finds nothing: {}", self.history()),
        }
    }

    async fn get(&mut self, name: &'static str) {
        let reply = self.driver.get(&self.path(name)).await.map(|(info, bytes)| (info.size, bytes));
        match self.outcome(&format!("get {name}"), reply) {
            Ok(Outcome::Done((size, bytes))) => {
                assert_eq!(size, bytes.len() as u64, "{}", self.history());
                self.saw_bytes(name, &bytes);
            }
            Ok(Outcome::NotFound) => self.saw("nothing", name, |held| held.is_none()),
            Ok(Outcome::Lost(_)) => {}
            Err(error) if error.reason() == Reason::TooLarge => {
                self.saw("more than Get gives", name, |held| held.is_some_and(|held| held.1 > SMALL));
            }
            Err(error) => panic!("get {name}: {error:?}: {}", self.history()),
        }
    }

    async fn read(&mut self, name: &'static str) {
        let reply = self.driver.read(&self.path(name), 0, None).await.map(|(_, bytes)| bytes);
        match self.plain(&format!("read {name}"), reply) {
            Outcome::Done(bytes) => self.saw_bytes(name, &bytes),
            Outcome::NotFound => self.saw("nothing", name, |held| held.is_none()),
            Outcome::Lost(_) => {}
        }
    }

    fn saw_bytes(&mut self, name: &str, bytes: &[u8]) {
        let possible = self.worlds.at(name).into_iter().flatten();
        let seen = possible.filter(|held| held.1 == bytes.len()).find(|held| content(held.0, held.1) == bytes);
        let what = format!("{} bytes that are {seen:?}", bytes.len());
        self.saw(&what, name, |held| held.is_some() && held == seen);
    }

    async fn stat(&mut self, name: &'static str) {
        let reply = self.driver.stat(&self.path(name)).await.map(|info| info.size);
        match self.plain(&format!("stat {name}"), reply) {
            Outcome::Done(size) => {
                self.saw(&format!("{size} bytes"), name, |held| held.is_some_and(|held| held.1 as u64 == size));
            }
            Outcome::NotFound => self.saw("nothing", name, |held| held.is_none()),
            Outcome::Lost(_) => {}
        }
    }

    async fn list(&mut self) {
        let reply = self.driver.list_all(&self.folder, "", 2).await;
        let Outcome::Done(names) = self.plain("list", reply) else { return };
        let is_possible = self.worlds.saw(|world| world.names().eq(names.iter().map(|(name, _)| name.as_str())));
        assert!(is_possible, "{names:?} are listed: {}", self.history());
    }

    /// A session, to its end: opened again where its stream broke, and committed at `name`.
    async fn stage(&mut self, name: &'static str) {
        let parts = if self.chance.random() { 0 } else { self.chance.random_range(1..6) };
        let held = self.content(parts * PART);
        let staging = format!("/up{}/{}", self.folder, held.0);
        let hint = if self.chance.random_bool(0.7) { self.path(name) } else { String::new() };
        let whole = content(held.0, held.1);
        let mut persisted = 0;
        for _ in 0..ATTEMPTS {
            if self.chance.random_bool(0.02) {
                return self.give_up(&staging).await;
            }
            if let Some(session) = self.send(&staging, &hint, &whole, &mut persisted).await
                && self.commit(&staging, name, held, &mut persisted).await
            {
                drop(session);
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("a session has no end: {}", self.history());
    }

    /// Opens the session at what is persisted and sends the rest, with a flush in between. The stream, when all was taken.
    async fn send(&mut self, staging: &str, hint: &str, whole: &[u8], persisted: &mut u64) -> Option<Session> {
        let reply = self.driver.open_for(staging, *persisted, hint).await;
        let Outcome::Done(mut session) = self.plain(&format!("open {staging} at {persisted}"), reply) else {
            self.check_not_lost(*persisted);
            return None;
        };
        let rest = &whole[*persisted as usize..];
        let middle = self.chance.random_range(0..=rest.len());
        for (piece, sent) in [(&rest[..middle], whole.len() - rest.len() + middle), (&rest[middle..], whole.len())] {
            session.data(piece).await;
            let reply = session.flush().await;
            let Outcome::Done(flushed) = self.plain(&format!("flush {staging} of {sent}"), reply) else {
                self.check_not_lost(*persisted);
                return None;
            };
            assert_eq!(flushed, (sent - sent % PART) as u64, "{}", self.history());
            *persisted = flushed;
        }
        Some(session)
    }

    /// What was persisted is there for whoever goes on with it.
    fn check_not_lost(&self, persisted: u64) {
        let is_lost = persisted > 0 && self.told.last().is_some_and(|told| told.contains(": NotFound"));
        assert!(!is_lost, "{persisted} bytes that were persisted are lost: {}", self.history());
    }

    /// Commits until it is told that it happened. `false`: the session has to be opened again.
    async fn commit(&mut self, staging: &str, name: &'static str, held: Held, persisted: &mut u64) -> bool {
        for _ in 0..ATTEMPTS {
            let reply = self.driver.commit(staging, &self.path(name), held.1 as u64).await;
            match self.outcome(&format!("commit {staging} as {held:?} at {name}"), reply) {
                Ok(Outcome::Done(_)) => {
                    self.worlds.became(name, Some(held));
                    return true;
                }
                Ok(Outcome::Lost(true)) => self.worlds.may_have_become(name, Some(held)),
                Ok(Outcome::Lost(false)) => {}
                Err(error) if error.reason() == Reason::OffsetInvalid && error.persisted >= *persisted => {
                    *persisted = error.persisted;
                    return false;
                }
                other => panic!("commit {staging}: {other:?}: {}", self.history()),
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("a commit has no end: {}", self.history());
    }

    async fn give_up(&mut self, staging: &str) {
        let reply = self.driver.delete(staging, false).await;
        self.plain(&format!("delete {staging}"), reply);
    }
}
