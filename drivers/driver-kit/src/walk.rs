//! Walk, made from the pages of List: one page for each level of depth is all that is held.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, stream};
use storagedriver_proto::Path;
use storagedriver_proto::limits::PAGE_MAX;
use storagedriver_proto::v1alpha1::{WalkResponse, walk_response};

use crate::driver::{Entry, Info, StorageDriver};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Opened;

/// A message is sent after this long with whatever it holds, so that the registry sees progress in a slow store.
const MESSAGE_AFTER: Duration = Duration::from_secs(1);

/// The levels from `base` to `start_after` itself, each to be continued after the component that leads further down:
/// what lies below `start_after` comes after it, what lies beside its ancestors comes after that.
fn levels_down_to(base: Path, start_after: Option<&Path>) -> Vec<Level> {
    let Some(start) = start_after else { return vec![Level::new(base, None)] };
    let ancestors = std::iter::successors(start.parent(), Path::parent);
    let chain = std::iter::once(start.clone()).chain(ancestors);
    let mut levels = Vec::new();
    let mut after = None;
    for path in chain.take_while(|path| *path == base || path.is_below(&base)) {
        let name = path.name().map(str::to_owned);
        levels.push(Level::new(path, std::mem::replace(&mut after, name)));
    }
    levels.reverse();
    levels
}

/// A walk under way.
pub(crate) struct Walker<D: StorageDriver> {
    opened: Arc<Opened<D>>,
    /// From the base downwards.
    levels: Vec<Level>,
}

impl<D: StorageDriver> Walker<D> {
    /// Of all content below `base`, or of what comes after `start_after` there.
    pub(crate) fn new(opened: Arc<Opened<D>>, base: Path, start_after: Option<&Path>) -> Self {
        Walker { opened, levels: levels_down_to(base, start_after) }
    }

    pub(crate) fn messages(self) -> impl Stream<Item = Result<WalkResponse>> {
        stream::try_unfold(self, |mut walker| async move {
            let entries = walker.batch().await?;
            Ok((!entries.is_empty()).then_some((WalkResponse { entries }, walker)))
        })
    }

    /// The entries of the next message; none at the end.
    async fn batch(&mut self) -> Result<Vec<walk_response::Entry>> {
        let started = Instant::now();
        let mut entries = Vec::new();
        while entries.len() < PAGE_MAX && (entries.is_empty() || started.elapsed() < MESSAGE_AFTER) {
            let Some((path, info)) = self.next().await? else { break };
            entries.push(walk_response::Entry { path: path.as_str().to_owned(), info: Some(info.into()) });
        }
        Ok(entries)
    }

    async fn next(&mut self) -> Result<Option<(Path, Info)>> {
        while let Some(level) = self.levels.last_mut() {
            match level.next(&self.opened.driver).await? {
                None => drop(self.levels.pop()),
                Some((path, Info::Prefix)) => self.levels.push(Level::new(path, None)),
                Some(content) => return Ok(Some(content)),
            }
        }
        Ok(None)
    }
}

/// A listing under way.
struct Level {
    path: Path,
    after: Option<String>,
    page: std::vec::IntoIter<Entry>,
    more: bool,
}

impl Level {
    fn new(path: Path, after: Option<String>) -> Self {
        Level { path, after, page: Vec::new().into_iter(), more: true }
    }

    async fn next<D: StorageDriver>(&mut self, driver: &D) -> Result<Option<(Path, Info)>> {
        loop {
            if let Some(entry) = self.page.next() {
                return self.child(entry).map(Some);
            }
            if !self.more {
                return Ok(None);
            }
            self.turn_page(driver).await?;
        }
    }

    async fn turn_page<D: StorageDriver>(&mut self, driver: &D) -> Result<()> {
        let page = driver.list(&self.path, self.after.as_deref(), PAGE_MAX).await?;
        self.more = page.more && !page.entries.is_empty();
        self.after = page.entries.last().map(|entry| entry.name.clone());
        self.page = page.entries.into_iter();
        Ok(())
    }

    fn child(&self, entry: Entry) -> Result<(Path, Info)> {
        let Entry { name, info } = entry;
        match self.path.join(&name) {
            Ok(path) => Ok((path, info)),
            Err(problem) => {
                Err(Error::new(ErrorKind::Internal, "the driver listed a name that is none").with_source(problem))
            }
        }
    }
}
