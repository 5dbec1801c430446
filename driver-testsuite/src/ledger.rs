//! [`Ledger`]: what one caller may expect at its own paths, whenever the driver is killed.
//!
//! Before a call it notes what the path may hold afterwards, after an acknowledgement what it must hold.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;

use crate::block::{content, difference};
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure};

/// The number of a content; `None` is none.
type Held = Option<u64>;

/// Paths of one caller.
const PATHS: u64 = 6;

/// A caller that puts, uploads, moves and deletes at paths of its own.
pub(crate) struct Ledger {
    folder: String,
    random: StdRng,
    /// What each path may hold.
    may: BTreeMap<String, Vec<Held>>,
    /// The move under way: source, target and what is moved.
    moving: Option<(String, String, u64)>,
    next: u64,
}

/// Content that is recognised by its number, and that every call can carry.
fn piece(number: u64) -> Bytes {
    content(number, 1 + usize::try_from(number * 7919 % 60_000).unwrap_or_default())
}

impl Ledger {
    /// Of the caller called `name`, at paths below the root of `client`.
    pub(crate) fn new(client: &Client, name: u64, random: StdRng) -> Self {
        let folder = client.at(&format!("caller-{name}"));
        Ledger { folder, random, may: BTreeMap::new(), moving: None, next: name << 32 }
    }

    /// Makes one call after the other until one is not answered by the storage.
    pub(crate) async fn work(&mut self, client: &Client) -> Outcome {
        loop {
            match self.step(client).await {
                Err(status) if from_status(&status).is_some() => return Err(status.into()),
                // What the call did is found out when the store is back.
                Err(_) => std::future::pending().await,
                Ok(()) => {}
            }
        }
    }

    async fn step(&mut self, client: &Client) -> Result<(), Status> {
        let path = self.path();
        match self.random.random_range(0..10) {
            0..4 => self.put(client, path).await,
            4..6 => self.upload(client, path).await,
            6..9 => self.rename(client, path).await,
            _ => self.delete(client, path).await,
        }
    }

    fn path(&mut self) -> String {
        format!("{}/{}/data", self.folder, self.random.random_range(0..PATHS))
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn may_be(&mut self, path: &str, held: Held) {
        self.may.entry(path.to_owned()).or_insert_with(|| vec![None]).push(held);
    }

    fn is(&mut self, path: &str, held: Held) {
        self.may.insert(path.to_owned(), vec![held]);
    }

    async fn put(&mut self, client: &Client, path: String) -> Result<(), Status> {
        let number = self.number();
        self.may_be(&path, Some(number));
        client.put(&path, piece(number)).await?;
        self.is(&path, Some(number));
        Ok(())
    }

    async fn upload(&mut self, client: &Client, path: String) -> Result<(), Status> {
        let number = self.number();
        let (staging, bytes) = (format!("{}/staging-{number}", self.folder), piece(number));
        let _session = client.stage(&staging, &bytes).await?;
        self.may_be(&path, Some(number));
        client.commit(&staging, &path, bytes.len() as u64).await?;
        self.is(&path, Some(number));
        Ok(())
    }

    async fn rename(&mut self, client: &Client, source: String) -> Result<(), Status> {
        let target = self.path();
        let Some(&[Some(number)]) = self.may.get(&source).map(Vec::as_slice) else { return Ok(()) };
        if source == target {
            return Ok(());
        }
        self.may_be(&source, None);
        self.may_be(&target, Some(number));
        self.moving = Some((source.clone(), target.clone(), number));
        client.rename(&source, &target).await?;
        self.is(&source, None);
        self.is(&target, Some(number));
        self.moving = None;
        Ok(())
    }

    async fn delete(&mut self, client: &Client, path: String) -> Result<(), Status> {
        self.may_be(&path, None);
        client.delete(&path, false).await?;
        self.is(&path, None);
        Ok(())
    }

    /// Compares the store with what it may hold, and takes what it holds as acknowledged.
    pub(crate) async fn verify(&mut self, client: &Client) -> Outcome {
        for (path, may) in &mut self.may {
            *may = vec![look(client, path, may).await?];
        }
        if let Some((source, target, number)) = self.moving.take() {
            let held = [&source, &target].map(|path| self.may.get(path).is_some_and(|may| may.contains(&Some(number))));
            ensure(held != [false; 2], || format!("a Move of {source} to {target} left the content at neither"))?;
        }
        let walked = client.walk(&self.folder, "").await?.into_iter().flat_map(|message| message.entries);
        let shown: BTreeSet<String> =
            walked.map(|entry| entry.path).filter(|path| !path.contains("/staging-")).collect();
        let held = self.may.iter().filter(|(_, may)| may.iter().all(Option::is_some));
        let held: BTreeSet<String> = held.map(|(path, _)| path.clone()).collect();
        ensure(shown == held, || format!("Walk shows {shown:?}, and there is {held:?}"))
    }
}

/// What stands at `path`: one of what may be there.
async fn look(client: &Client, path: &str, may: &[Held]) -> Outcome<Held> {
    let seen = match client.get(path).await {
        Ok((_, seen)) => Some(seen),
        Err(status) if from_status(&status).is_some_and(|error| error.reason() == Reason::NotFound) => None,
        Err(status) => return Err(status.into()),
    };
    let is = |held: &&Held| held.map(piece) == seen;
    match (may.iter().rev().find(is), may.last().copied().flatten(), seen) {
        (Some(held), ..) => Ok(*held),
        (None, Some(number), Some(seen)) => {
            let how = difference(&seen, &piece(number)).unwrap_or_default();
            broken(format!("at {path} stands none of the contents {may:?}: compared with the last, {how}"))
        }
        (None, _, seen) => {
            broken(format!("at {path} stand {:?} bytes, and not one of {may:?}", seen.map(|seen| seen.len())))
        }
    }
}
