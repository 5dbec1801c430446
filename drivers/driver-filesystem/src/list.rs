//! One page of the names in a folder.
//!
//! A folder is read in the order its file system likes and must be read whole for any page; what is kept of it is bounded by
//! the page. Only the names of the page are looked at more closely.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use driver_kit::{Entry, Info, Page, Path, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, SeekFrom, seek, statat};
use rustix::io;

use crate::entries::{LONG, is_occupied, visit_visible};
use crate::error::reading;
use crate::info::{content, kind};
use crate::pool::Stop;
use crate::root::{FOLDER, present};
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
        page(&folder, start_after.unwrap_or_default(), limit, stop).map_err(reading)
    }
}

fn page(folder: &OwnedFd, start_after: &str, limit: usize, stop: &Stop) -> io::Result<Page> {
    let count = CANDIDATES_MIN.max(limit + 1);
    let mut entries: Vec<Entry> = Vec::new();
    let mut after = start_after.to_owned();
    loop {
        let candidates = smallest_after(folder, &after, count, stop)?;
        let is_last = candidates.len() < count;
        after = candidates.last().map(|last| last.name.clone()).unwrap_or_default();
        for candidate in candidates {
            stop.check()?;
            entries.extend(look(folder, candidate)?);
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

/// `None` for what vanished meanwhile, and for what does not show.
fn look(folder: &OwnedFd, candidate: Candidate) -> io::Result<Option<Entry>> {
    let name = candidate.name;
    if candidate.is_folder {
        return Ok(is_occupied(folder, &name)?.then_some(Entry { name, info: Info::Prefix }));
    }
    let Some(stat) = present(statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW))? else { return Ok(None) };
    match kind(&stat) {
        FileType::RegularFile => Ok(Some(Entry { name, info: content(&stat) })),
        FileType::Directory => look(folder, Candidate { name, is_folder: true }),
        _ => Ok(None),
    }
}
