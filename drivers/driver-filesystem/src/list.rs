//! One page of the names in a folder.
//!
//! A folder is read in the order its file system likes and must be read whole for any page, unless its names are still known
//! from the page before; what is kept of it for one page is bounded by the page. Only the names of the page are looked at
//! more closely.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use driver_kit::{Entry, Info, Page, Path, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, SeekFrom, seek, statat};
use rustix::io;

use crate::entries::{LONG, any_content, visit_visible};
use crate::error::reading;
use crate::handover::Keeper;
use crate::info::{content, kind};
use crate::names::Names;
use crate::pool::Stop;
use crate::root::{FOLDER, Root, present};
use crate::store::Store;

/// Names are taken from a folder by at least this many: of a small page all might be empty folders, which do not show.
const CANDIDATES_MIN: usize = 256;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    name: String,
    is_folder: bool,
}

impl Store {
    pub(crate) fn list(&self, path: &Path, start_after: Option<&str>, limit: usize, stop: &Stop) -> Result<Page> {
        let Some(folder) = present(self.root.open(path, FOLDER)).map_err(reading)? else { return Ok(Page::default()) };
        // Another host's clock is not this one's.
        let names = match self.keeper {
            Keeper::Others => None,
            Keeper::Host | Keeper::Layers => self.listings.of(&folder, stop).map_err(reading)?,
        };
        let listing = Listing { root: &self.root, folder: &folder, names: names.as_deref() };
        listing.page(start_after.unwrap_or_default(), limit, stop).map_err(reading)
    }
}

struct Listing<'a> {
    root: &'a Root,
    folder: &'a OwnedFd,
    names: Option<&'a Names>,
}

impl Listing<'_> {
    fn page(&self, start_after: &str, limit: usize, stop: &Stop) -> io::Result<Page> {
        let count = CANDIDATES_MIN.max(limit + 1);
        let (mut entries, mut after): (Vec<Entry>, String) = (Vec::new(), start_after.to_owned());
        let mut likeness = None;
        loop {
            let candidates = self.candidates(&after, count, stop)?;
            let is_last = candidates.len() < count;
            after = candidates.last().map(|last| last.name.clone()).unwrap_or_default();
            for candidate in candidates {
                stop.check()?;
                entries.extend(self.look(candidate, &mut likeness)?);
                if entries.len() > limit {
                    entries.truncate(limit);
                    return Ok(Page { entries, more: true });
                }
            }
            if is_last {
                return Ok(Page { entries, more: false });
            }
        }
    }

    fn candidates(&self, after: &str, count: usize, stop: &Stop) -> io::Result<Vec<Candidate>> {
        let Some(names) = self.names else { return smallest_after(self.folder, after, count, stop) };
        let candidate = |(name, is_folder): (&str, bool)| Candidate { name: name.to_owned(), is_folder };
        Ok(names.after(after).take(count).map(candidate).collect())
    }

    /// `None` for what vanished meanwhile, and for what does not show.
    fn look(&self, candidate: Candidate, likeness: &mut Option<String>) -> io::Result<Option<Entry>> {
        let name = candidate.name;
        if candidate.is_folder {
            let shows = self.is_occupied(&name, likeness)?;
            return Ok(shows.then_some(Entry { name, info: Info::Prefix }));
        }
        let Some(stat) = present(statat(self.folder, &name, AtFlags::SYMLINK_NOFOLLOW))? else { return Ok(None) };
        match kind(&stat) {
            FileType::RegularFile => Ok(Some(Entry { name, info: content(&stat) })),
            FileType::Directory => self.look(Candidate { name, is_folder: true }, likeness),
            _ => Ok(None),
        }
    }

    /// Whether there is content below the folder `name`. Folders beside each other often look alike: what was found below the
    /// one before, which is `likeness`, is looked for first.
    fn is_occupied(&self, name: &str, likeness: &mut Option<String>) -> io::Result<bool> {
        if let Some(rest) = likeness
            && self.root.is_file(self.folder, &format!("{name}/{rest}"))
        {
            return Ok(true);
        }
        let found = any_content(self.folder, name)?;
        let is_occupied = found.is_some();
        *likeness = found.or(likeness.take());
        Ok(is_occupied)
    }
}

/// The first `count` names after `after`, in order.
fn smallest_after(folder: &OwnedFd, after: &str, count: usize, stop: &Stop) -> io::Result<Vec<Candidate>> {
    let mut smallest: BinaryHeap<Candidate> = BinaryHeap::new();
    seek(folder, SeekFrom::Start(0))?;
    visit_visible(folder, LONG, |name, kind| {
        stop.check()?;
        let largest = smallest.peek().filter(|_| smallest.len() == count);
        if name > after && largest.is_none_or(|largest| name < largest.name.as_str()) {
            smallest.push(Candidate { name: name.to_owned(), is_folder: kind == FileType::Directory });
        }
        if smallest.len() > count {
            smallest.pop();
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(smallest.into_sorted_vec())
}
