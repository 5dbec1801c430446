//! What the store holds: content by path, and staged bytes by staging path, which no call but commit turns into content.
//!
//! Plain and synchronous: it knows neither locks nor streams.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::SystemTime;

use driver_kit::{Bytes, Entry, Error, ErrorKind, Info, Page, Path, Result};

pub(crate) struct Tree {
    contents: BTreeMap<Path, Stored>,
    staged: BTreeMap<Path, Vec<u8>>,
    /// Bytes in both maps, and how many there may be.
    used: u64,
    max_bytes: u64,
    /// The version last given to a content.
    version: u64,
}

struct Stored {
    content: Bytes,
    modified: SystemTime,
    version: u64,
}

impl Stored {
    fn info(&self) -> Info {
        let size = self.content.len() as u64;
        Info::Content { size, modified: self.modified, version: self.version.to_string() }
    }
}

impl Tree {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Tree { contents: BTreeMap::new(), staged: BTreeMap::new(), used: 0, max_bytes, version: 0 }
    }

    pub(crate) fn stat(&self, path: &Path) -> Result<Info> {
        match self.contents.get(path) {
            Some(stored) => Ok(stored.info()),
            None if self.is_prefix(path) => Ok(Info::Prefix),
            None => Err(not_found("there is nothing at this path")),
        }
    }

    pub(crate) fn content(&self, path: &Path) -> Result<(Info, Bytes)> {
        let stored = self.contents.get(path).ok_or_else(|| not_found("there is no content at this path"))?;
        Ok((stored.info(), stored.content.clone()))
    }

    pub(crate) fn put(&mut self, path: &Path, content: Bytes, if_absent: bool) -> Result<Info> {
        self.check_target(path, if_absent)?;
        self.grow(self.size_at(path), content.len() as u64)?;
        Ok(self.store(path, content))
    }

    /// Passes over everything below `path`: a reference is short before it is quick.
    pub(crate) fn list(&self, path: &Path, start_after: Option<&str>, limit: usize) -> Page {
        let depth = path.components().count();
        let mut page = Page::default();
        for (key, stored) in below(&self.contents, path) {
            let Some(name) = key.components().nth(depth) else { continue };
            let seen = page.entries.last().map(|entry| entry.name.as_str()).max(start_after);
            if seen.is_some_and(|seen| name <= seen) {
                continue;
            }
            page.more = page.entries.len() == limit;
            if page.more {
                break;
            }
            let info = if key.components().count() == depth + 1 { stored.info() } else { Info::Prefix };
            page.entries.push(Entry { name: name.to_owned(), info });
        }
        page
    }

    pub(crate) fn rename(&mut self, source: &Path, target: &Path) -> Result<Info> {
        let (_, content) = self.content(source)?;
        self.check_target(target, false)?;
        self.used -= self.size_at(target);
        self.contents.remove(source);
        Ok(self.store(target, content))
    }

    pub(crate) fn delete(&mut self, path: &Path, recursive: bool) -> Result<()> {
        if !recursive && self.is_prefix(path) {
            return Err(Error::new(ErrorKind::PathConflict, "there is content below this path"));
        }
        let mut doomed = vec![path.clone()];
        if recursive {
            doomed.extend(below(&self.contents, path).map(|(key, _)| key.clone()));
            doomed.extend(below(&self.staged, path).map(|(key, _)| key.clone()));
        }
        for path in doomed {
            self.used -= self.contents.remove(&path).map_or(0, |stored| stored.content.len() as u64);
            self.used -= self.staged.remove(&path).map_or(0, |staged| staged.len() as u64);
        }
        Ok(())
    }

    /// Begins or continues the session at `path`; what it holds beyond `offset` is dropped.
    pub(crate) fn open(&mut self, path: &Path, offset: u64, granularity: u64) -> Result<()> {
        if offset == 0 {
            self.used -= self.staged.insert(path.clone(), Vec::new()).map_or(0, |staged| staged.len() as u64);
            return Ok(());
        }
        let staged = self.staged.get_mut(path).ok_or_else(no_session)?;
        let persisted = staged.len() as u64;
        if offset > persisted || !offset.is_multiple_of(granularity) {
            let message = format!("the session has {persisted} bytes, and goes on at multiples of {granularity} only");
            return Err(Error::new(ErrorKind::OffsetInvalid { persisted }, message));
        }
        staged.truncate(offset as usize);
        self.used -= persisted - offset;
        Ok(())
    }

    pub(crate) fn append(&mut self, path: &Path, data: &[u8]) -> Result<()> {
        if !self.staged.contains_key(path) {
            return Err(no_session());
        }
        self.grow(0, data.len() as u64)?;
        self.staged.entry(path.clone()).or_default().extend_from_slice(data);
        Ok(())
    }

    /// Makes the staged bytes and `tail`, the rest of them that was not staged yet, the content at `target`.
    pub(crate) fn commit(
        &mut self,
        path: &Path,
        tail: &[u8],
        target: &Path,
        size: u64,
        if_absent: bool,
    ) -> Result<Info> {
        let Some(staged) = self.staged.get(path) else { return self.committed(target, size) };
        let persisted = staged.len() as u64;
        if persisted + tail.len() as u64 != size {
            let message = format!("the session has {persisted} bytes, and the size to commit is {size}");
            return Err(Error::new(ErrorKind::OffsetInvalid { persisted }, message));
        }
        self.check_target(target, if_absent)?;
        self.grow(self.size_at(target), tail.len() as u64)?;
        let mut content = self.staged.remove(path).unwrap_or_default();
        content.extend_from_slice(tail);
        content.shrink_to_fit();
        Ok(self.store(target, content.into()))
    }

    /// The answer to a commit whose session is gone: it happened, or it never can.
    fn committed(&self, target: &Path, size: u64) -> Result<Info> {
        match self.contents.get(target) {
            Some(stored) if stored.content.len() as u64 == size => Ok(stored.info()),
            _ => Err(no_session()),
        }
    }

    fn store(&mut self, path: &Path, content: Bytes) -> Info {
        self.version += 1;
        let stored = Stored { content, modified: SystemTime::now(), version: self.version };
        let info = stored.info();
        self.contents.insert(path.clone(), stored);
        info
    }

    /// Accounts for `freed` bytes that go and `more` that come.
    fn grow(&mut self, freed: u64, more: u64) -> Result<()> {
        let used = self.used - freed + more;
        if used > self.max_bytes && more > freed {
            let message = format!("the store is full: it may hold {} bytes", self.max_bytes);
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        self.used = used;
        Ok(())
    }

    /// Content may come to `path`: it is no prefix, nothing above it is content and, with `if_absent`, nor is it.
    fn check_target(&self, path: &Path, if_absent: bool) -> Result<()> {
        if if_absent && self.contents.contains_key(path) {
            return Err(Error::new(ErrorKind::AlreadyExists, "there is content at this path"));
        }
        let mut above = std::iter::successors(path.parent(), Path::parent);
        if self.is_prefix(path) || above.any(|above| self.contents.contains_key(&above)) {
            return Err(Error::new(ErrorKind::PathConflict, "there is content below or above this path"));
        }
        Ok(())
    }

    fn is_prefix(&self, path: &Path) -> bool {
        below(&self.contents, path).next().is_some()
    }

    fn size_at(&self, path: &Path) -> u64 {
        self.contents.get(path).map_or(0, |stored| stored.content.len() as u64)
    }
}

/// The part of `map` below `path`: paths are ordered by component, so it is one range, right after `path` itself.
fn below<'a, V>(map: &'a BTreeMap<Path, V>, path: &'a Path) -> impl Iterator<Item = (&'a Path, &'a V)> {
    map.range::<Path, _>((Excluded(path), Unbounded)).take_while(move |(key, _)| key.is_below(path))
}

fn not_found(message: &str) -> Error {
    Error::new(ErrorKind::NotFound, message)
}

fn no_session() -> Error {
    not_found("there is no write session at this path")
}
