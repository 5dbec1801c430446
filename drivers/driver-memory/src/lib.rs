//! A store in the memory of one process, gone with it: the shortest correct driver, to read first and to test with.
//!
//! Parameters: `granularity`, in bytes, makes its write sessions behave like those of a store that takes parts;
//! `max_bytes` is how much it keeps before it says that it is full.

mod tree;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use driver_kit::limits::GRANULARITY_MAX;
use driver_kit::{
    Bytes, Capabilities, Content, Durability, Error, ErrorKind, Info, Page, Parameters, Path, ReadRange, Result,
    StorageDriver, WriteSession, invalid,
};
use futures::{StreamExt, stream};

use crate::tree::Tree;

/// The driver. Every call takes the lock once and does all its work under it, so each happens wholly or not at all.
pub struct Memory {
    tree: Arc<Mutex<Tree>>,
    granularity: u64,
}

impl Memory {
    fn tree(&self) -> MutexGuard<'_, Tree> {
        lock(&self.tree)
    }
}

fn lock(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StorageDriver for Memory {
    const NAME: &'static str = "memory";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    type Session = MemorySession;

    async fn configure(parameters: &mut Parameters) -> Result<Self> {
        let granularity = parameters.take_parsed("granularity")?.unwrap_or(1);
        if !(1..=GRANULARITY_MAX).contains(&granularity) {
            return Err(invalid("granularity", &format!("must be from 1 to {GRANULARITY_MAX}")));
        }
        let max_bytes = parameters.take_parsed("max_bytes")?.unwrap_or(u64::MAX);
        Ok(Memory { tree: Arc::new(Mutex::new(Tree::new(max_bytes))), granularity })
    }

    fn capabilities(&self) -> Capabilities {
        let capabilities = Capabilities::new(Durability::Volatile);
        Capabilities { granularity: self.granularity, if_absent: true, ..capabilities }
    }

    async fn stat(&self, path: &Path) -> Result<Info> {
        self.tree().stat(path)
    }

    async fn get(&self, path: &Path, max: usize) -> Result<(Info, Bytes)> {
        let (info, content) = self.tree().content(path)?;
        if content.len() > max {
            return Err(Error::new(ErrorKind::TooLarge, format!("the content has {} bytes", content.len())));
        }
        Ok((info, content))
    }

    async fn put(&self, path: &Path, content: Bytes, if_absent: bool) -> Result<Info> {
        // A copy of its own: the bytes as received are a slice of a larger message.
        self.tree().put(path, Bytes::copy_from_slice(&content), if_absent)
    }

    async fn read(&self, path: &Path, range: ReadRange, if_version: Option<&str>) -> Result<Content> {
        let (info, content) = self.tree().content(path)?;
        if let Info::Content { version, .. } = &info
            && if_version.is_some_and(|wanted| wanted != version)
        {
            return Err(Error::new(ErrorKind::VersionMismatch, "the content has changed"));
        }
        let size = content.len() as u64;
        if range.offset > size {
            return Err(Error::new(ErrorKind::OffsetInvalid { persisted: size }, "the offset lies beyond the end"));
        }
        let end = range.length.map_or(size, |length| range.offset.saturating_add(length).min(size));
        let bytes = content.slice(range.offset as usize..end as usize);
        Ok(Content { info, stream: stream::once(async { Ok(bytes) }).boxed() })
    }

    async fn list(&self, path: &Path, start_after: Option<&str>, limit: usize) -> Result<Page> {
        Ok(self.tree().list(path, start_after, limit))
    }

    async fn rename(&self, source: &Path, target: &Path) -> Result<Info> {
        self.tree().rename(source, target)
    }

    async fn delete(&self, path: &Path, recursive: bool) -> Result<()> {
        self.tree().delete(path, recursive)
    }

    async fn open(&self, path: &Path, offset: u64, _target: Option<&Path>) -> Result<MemorySession> {
        self.tree().open(path, offset, self.granularity)?;
        let (tree, path) = (Arc::clone(&self.tree), path.clone());
        Ok(MemorySession { tree, path, granularity: self.granularity, persisted: offset, tail: Vec::new() })
    }

    async fn commit(
        &self,
        path: &Path,
        session: Option<&mut MemorySession>,
        target: &Path,
        size: u64,
        if_absent: bool,
    ) -> Result<Info> {
        let tail = session.map(|session| session.tail.as_slice()).unwrap_or_default();
        self.tree().commit(path, tail, target, size, if_absent)
    }
}

/// An open write session. What it calls persisted is in the tree, where the next session finds it.
pub struct MemorySession {
    tree: Arc<Mutex<Tree>>,
    path: Path,
    granularity: u64,
    persisted: u64,
    /// Bytes too few for the granularity.
    tail: Vec<u8>,
}

impl WriteSession for MemorySession {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.tail.extend_from_slice(&data);
        let whole = self.tail.len() - (self.tail.len() as u64 % self.granularity) as usize;
        lock(&self.tree).append(&self.path, &self.tail[..whole])?;
        self.tail.drain(..whole);
        self.persisted += whole as u64;
        Ok(())
    }

    fn persisted(&self) -> u64 {
        self.persisted
    }

    async fn flush(&mut self) -> Result<u64> {
        Ok(self.persisted)
    }
}
