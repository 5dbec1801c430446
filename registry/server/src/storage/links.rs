//! [`Links`]: the links that decide what a request may see, layers, revisions and tags, and what is remembered of them.
//!
//! A link is remembered only while this registry alone writes to the store, and everything that it wrote there has been
//! answered: [`Standing`] says so. So every change of these links goes through here. A change takes the link out before it
//! begins, and who read it meanwhile may have seen either side and remembers nothing; a change is carried to its end
//! whoever stops waiting for it, as a request does when another of its changes fails.
//!
//! It must not know what a link stands for.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oci::Digest;
use storagedriver_proto::Path;

use super::cache::{Cache, Weigh};
use super::error::{Found, StorageError};
use super::link;
use crate::driver::{DriverClient, Standing};
use crate::task::to_its_end;

/// What one link takes in memory, with its path.
const USUAL: u64 = 512;
/// Changes of different links seldom meet in one of so many places.
const PLACES: usize = 64;

#[derive(Clone)]
pub(crate) struct Links {
    driver: DriverClient,
    memory: Arc<Memory>,
}

impl Links {
    /// Remembers links in at most `bytes`.
    pub(super) fn new(driver: DriverClient, bytes: u64) -> Self {
        Links { driver, memory: Arc::new(Memory::new(bytes)) }
    }

    /// The digest in the link at `path`; `None` without one, or with a damaged one.
    pub(super) async fn read(&self, path: &Path) -> Result<Option<Digest>, StorageError> {
        self.ask(path, link::read(&self.driver, path)).await
    }

    /// Whether there is a link at `path`, which can only name `digest`. A damaged one is one too.
    pub(super) async fn exists(&self, path: &Path, digest: &Digest) -> Result<bool, StorageError> {
        let look = async { Ok(link::exists(&self.driver, path).await?.then(|| digest.clone())) };
        Ok(self.ask(path, look).await?.is_some())
    }

    /// What is remembered of the link at `path`, or else what `look` finds in the store.
    async fn ask(
        &self,
        path: &Path,
        look: impl Future<Output = Result<Option<Digest>, StorageError>>,
    ) -> Result<Option<Digest>, StorageError> {
        let Some(standing) = self.driver.standing() else { return look.await };
        if let Some(digest) = self.memory.recall(path, standing) {
            return Ok(Some(digest));
        }
        let glance = self.memory.begin_reading(path);
        let found = look.await?;
        if let (Some(digest), Some(glance)) = (&found, glance) {
            self.memory.remember(path, digest, standing, glance);
        }
        Ok(found)
    }

    pub(super) async fn write(&self, path: Path, digest: &Digest) -> Result<(), StorageError> {
        let (links, digest) = (self.clone(), digest.clone());
        to_its_end(async move {
            let standing = links.driver.standing();
            let change = links.memory.begin_change(&path);
            link::write(&links.driver, &path, &digest).await?;
            if let Some(standing) = standing.filter(|standing| links.driver.standing() == Some(*standing)) {
                change.leaves(&digest, standing);
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn delete(&self, path: Path) -> Result<(), StorageError> {
        let links = self.clone();
        to_its_end(async move {
            let _change = links.memory.begin_change(&path);
            Ok(links.driver.delete(&path).await?)
        })
        .await
    }

    /// Deletes `folder`, in which the link at `path` is the only one that is looked at here.
    pub(super) async fn delete_with(&self, path: Path, folder: Path) -> Result<(), StorageError> {
        let links = self.clone();
        to_its_end(async move {
            let _change = links.memory.begin_change(&path);
            Ok(links.driver.delete_tree(&folder).await?)
        })
        .await
    }

    /// Moves the link at `path` to where nobody looks for it; `false` when it is not there.
    pub(super) async fn take(&self, path: Path, aside: Path) -> Result<bool, StorageError> {
        let links = self.clone();
        to_its_end(async move {
            let _change = links.memory.begin_change(&path);
            Ok(links.driver.rename(&path, &aside).await.found()?.is_some())
        })
        .await
    }
}

/// A link as it was at some time.
#[derive(Clone)]
struct Remembered {
    digest: Digest,
    standing: Standing,
}

impl Weigh for Remembered {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.digest.as_str().len()
    }
}

impl Weigh for Path {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.as_str().len()
    }
}

/// Links, and the changes of them that are under way.
struct Memory {
    links: Cache<Path, Remembered>,
    hasher: RandomState,
    places: Vec<Mutex<Place>>,
}

/// Where the changes of some of the links meet.
#[derive(Default)]
struct Place {
    under_way: usize,
    /// One more at the beginning of each change and at its end.
    turns: u64,
}

/// That no change was under way, at some turn.
struct Glance(u64);

/// A change of one link. It ends when this is dropped.
struct Change<'a> {
    memory: &'a Memory,
    path: &'a Path,
    begun: u64,
}

impl Memory {
    fn new(bytes: u64) -> Self {
        let places = (0..PLACES).map(|_| Mutex::default()).collect();
        Memory { links: Cache::new(bytes, USUAL), hasher: RandomState::new(), places }
    }

    fn place(&self, path: &Path) -> MutexGuard<'_, Place> {
        let index = self.hasher.hash_one(path) as usize % PLACES;
        self.places[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(&self, path: &Path, standing: Standing) -> Option<Digest> {
        self.links.get(path).filter(|link| link.standing == standing).map(|link| link.digest)
    }

    /// `None` while something changes: what is read then may be of before.
    fn begin_reading(&self, path: &Path) -> Option<Glance> {
        let place = self.place(path);
        (place.under_way == 0).then_some(Glance(place.turns))
    }

    /// Keeps what was read, unless a change began since.
    fn remember(&self, path: &Path, digest: &Digest, standing: Standing, Glance(turns): Glance) {
        let place = self.place(path);
        if place.turns == turns {
            self.links.insert(path.clone(), Remembered { digest: digest.clone(), standing });
        }
    }

    fn begin_change<'a>(&'a self, path: &'a Path) -> Change<'a> {
        let mut place = self.place(path);
        place.under_way += 1;
        place.turns += 1;
        self.links.remove(path);
        Change { memory: self, path, begun: place.turns }
    }
}

impl Change<'_> {
    /// What the link says from now on, if no other change came between: of two at once nobody knows which was later.
    fn leaves(&self, digest: &Digest, standing: Standing) {
        let place = self.memory.place(self.path);
        if place.turns == self.begun && place.under_way == 1 {
            self.memory.links.insert(self.path.clone(), Remembered { digest: digest.clone(), standing });
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let mut place = self.memory.place(self.path);
        place.under_way -= 1;
        place.turns += 1;
    }
}

#[cfg(test)]
mod tests {
    use oci::Algorithm;

    use super::*;

    const STANDING: Standing = Standing { restarts: 0, losses: 0 };

    fn memory() -> (Memory, Path, [Digest; 2]) {
        let digest = |text: &str| Digest::of(Algorithm::Sha256, text.as_bytes());
        (Memory::new(1 << 20), Path::parse("/a/link").unwrap(), [digest("old"), digest("new")])
    }

    #[test]
    fn what_was_read_is_remembered_while_nothing_else_can_have_happened() {
        let (memory, path, [old, _]) = memory();
        let glance = memory.begin_reading(&path).unwrap();
        memory.remember(&path, &old, STANDING, glance);
        assert_eq!(memory.recall(&path, STANDING), Some(old));
        for later in [Standing { restarts: 1, ..STANDING }, Standing { losses: 1, ..STANDING }] {
            assert_eq!(memory.recall(&path, later), None);
        }
    }

    #[test]
    fn who_reads_beside_a_change_remembers_nothing() {
        let (memory, path, [old, _]) = memory();
        let before = memory.begin_reading(&path).unwrap();
        let change = memory.begin_change(&path);
        assert!(memory.begin_reading(&path).is_none());
        memory.remember(&path, &old, STANDING, before);
        assert_eq!(memory.recall(&path, STANDING), None);
        let still = Glance(change.begun);
        drop(change);
        memory.remember(&path, &old, STANDING, still);
        assert_eq!(memory.recall(&path, STANDING), None);
    }

    #[test]
    fn the_only_change_leaves_what_it_wrote_and_one_of_two_nothing() {
        let (memory, path, [old, new]) = memory();
        let change = memory.begin_change(&path);
        change.leaves(&new, STANDING);
        drop(change);
        assert_eq!(memory.recall(&path, STANDING), Some(new.clone()));
        let (one, other) = (memory.begin_change(&path), memory.begin_change(&path));
        assert_eq!(memory.recall(&path, STANDING), None);
        other.leaves(&old, STANDING);
        drop(other);
        one.leaves(&new, STANDING);
        drop(one);
        assert_eq!(memory.recall(&path, STANDING), None);
    }
}
