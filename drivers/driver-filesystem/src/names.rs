//! [`Listings`]: the names in long folders, in order, so that a page of them does not cost a look at them all.
//!
//! The kernel notes when the names in a folder last changed. What was read is kept with that time, and used again while the
//! folder still has it. But its clock stands still for a moment between two ticks, and a change within one is not to be
//! seen: so nothing is kept of a folder that changed just now.
//!
//! It knows nothing of what the names stand for.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, SeekFrom, Stat, fstat, seek};
use rustix::io;

use crate::entries::{LONG, visit_visible};
use crate::pool::Stop;

/// More than the clock of any file system takes from one tick to the next.
const TICK_MAX: Duration = Duration::from_secs(3);
/// What is kept in all, and so of one folder.
const BYTES_MAX: usize = 8 << 20;
/// Shorter folders are read as quickly as they are looked up.
const NAMES_MIN: usize = 256;

/// A folder at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    device: u64,
    inode: u64,
    modified: (i64, u64),
    changed: (i64, u64),
}

/// The names of a folder, in order.
pub(crate) struct Names {
    state: State,
    /// All of them, one after another.
    text: String,
    entries: Vec<Place>,
}

/// A name in the text.
#[derive(Clone, Copy)]
struct Place {
    end: u32,
    is_folder: bool,
}

/// Those used last, the newest first.
#[derive(Default)]
pub(crate) struct Listings(Mutex<VecDeque<Arc<Names>>>);

impl Listings {
    /// The names of `folder`: those that are kept, or all that there are if no change of them can go unseen.
    pub(crate) fn of(&self, folder: &OwnedFd, stop: &Stop) -> io::Result<Option<Arc<Names>>> {
        let state = State::of(&fstat(folder)?);
        if let Some(names) = self.find(state) {
            return Ok(Some(names));
        }
        if !state.is_settled() {
            return Ok(None);
        }
        let Some(names) = Names::read(folder, state, stop)?.map(Arc::new) else { return Ok(None) };
        if names.entries.len() >= NAMES_MIN && State::of(&fstat(folder)?) == state {
            self.keep(&names);
        }
        Ok(Some(names))
    }

    fn find(&self, state: State) -> Option<Arc<Names>> {
        let mut kept = self.lock();
        let names = kept.iter().position(|names| names.state == state).and_then(|index| kept.remove(index))?;
        kept.push_front(Arc::clone(&names));
        Some(names)
    }

    fn keep(&self, names: &Arc<Names>) {
        let mut kept = self.lock();
        kept.retain(|other| (other.state.device, other.state.inode) != (names.state.device, names.state.inode));
        kept.push_front(Arc::clone(names));
        let mut bytes = 0;
        kept.retain(|names| {
            bytes += names.bytes();
            bytes <= BYTES_MAX
        });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Names>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(stat: &Stat) -> Self {
        State {
            device: stat.st_dev,
            inode: stat.st_ino,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Whether a change from now on will be seen.
    fn is_settled(&self) -> bool {
        let last = self.modified.0.max(self.changed.0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(last).is_ok_and(|last| Duration::from_secs(last) + TICK_MAX < now)
    }
}

impl Names {
    /// `None` when they are too many to keep.
    fn read(folder: &OwnedFd, state: State, stop: &Stop) -> io::Result<Option<Self>> {
        let (mut names, mut bytes) = (Vec::new(), 0);
        seek(folder, SeekFrom::Start(0))?;
        visit_visible(folder, LONG, |name, kind| {
            stop.check()?;
            bytes += name.len() + size_of::<Place>();
            names.push((Box::<str>::from(name), kind == FileType::Directory));
            Ok(if bytes > BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if bytes > BYTES_MAX {
            return Ok(None);
        }
        names.sort_unstable();
        let mut ordered = Names { state, text: String::with_capacity(bytes), entries: Vec::with_capacity(names.len()) };
        for (name, is_folder) in names {
            ordered.text.push_str(&name);
            let end = u32::try_from(ordered.text.len()).unwrap_or(u32::MAX);
            ordered.entries.push(Place { end, is_folder });
        }
        Ok(Some(ordered))
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.entries.len() * size_of::<Place>()
    }

    fn name(&self, index: usize) -> &str {
        let end = |index: usize| self.entries.get(index).map_or(0, |place| place.end as usize);
        let begin = index.checked_sub(1).map_or(0, end);
        self.text.get(begin..end(index)).unwrap_or_default()
    }

    /// The names after `after`, and whether each is a folder.
    pub(crate) fn after(&self, after: &str) -> impl Iterator<Item = (&str, bool)> {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.name(middle) <= after { low = middle + 1 } else { high = middle }
        }
        (low..self.entries.len())
            .zip(self.entries[low..].iter())
            .map(|(index, place)| (self.name(index), place.is_folder))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, Mode, Timespec, Timestamps, UTIME_OMIT, openat, utimensat};

    use super::*;
    use crate::root::FOLDER;

    fn folder_of(count: usize) -> (tempfile::TempDir, OwnedFd) {
        let place = tempfile::tempdir().unwrap();
        (0..count).for_each(|number| fs::write(place.path().join(format!("n{number:04}")), "").unwrap());
        let opened = openat(CWD, place.path(), FOLDER, Mode::empty()).unwrap();
        (place, opened)
    }

    /// The names as a folder has them that last changed long ago; its real time cannot be set back.
    fn read(folder: &OwnedFd) -> Option<Names> {
        Names::read(folder, State::of(&fstat(folder).unwrap()), &Stop::default()).unwrap()
    }

    #[test]
    fn a_page_begins_after_a_name_that_need_not_exist() {
        let (_place, folder) = folder_of(300);
        let names = read(&folder).unwrap();
        let after = |name| names.after(name).map(|(name, _)| name.to_owned()).take(2).collect::<Vec<_>>();
        assert_eq!(after(""), ["n0000", "n0001"]);
        assert_eq!(after("n0100"), ["n0101", "n0102"]);
        assert_eq!(after("n0100a"), ["n0101", "n0102"]);
        assert_eq!(after("n0298"), ["n0299"]);
        assert_eq!(after("z").len(), 0);
        assert_eq!(names.after("").count(), 300);
        let (_place, empty) = folder_of(0);
        assert_eq!(read(&empty).unwrap().after("").count(), 0);
    }

    #[test]
    fn nothing_is_kept_of_a_folder_that_changed_just_now() {
        let (place, folder) = folder_of(300);
        let listings = Listings::default();
        assert!(listings.of(&folder, &Stop::default()).unwrap().is_none());
        // Also when somebody sets its time back: that is a change of its own.
        let old = Timespec { tv_sec: 1_000_000, tv_nsec: 0 };
        let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: old };
        utimensat(CWD, place.path(), &times, rustix::fs::AtFlags::empty()).unwrap();
        assert!(listings.of(&folder, &Stop::default()).unwrap().is_none());
    }

    #[test]
    fn what_is_kept_is_found_until_the_folder_changes() {
        let (place, folder) = folder_of(300);
        let listings = Listings::default();
        listings.keep(&Arc::new(read(&folder).unwrap()));
        assert!(listings.of(&folder, &Stop::default()).unwrap().is_some());
        // Not within the same tick of the clock.
        let before = State::of(&fstat(&folder).unwrap());
        while State::of(&fstat(&folder).unwrap()) == before {
            fs::write(place.path().join("new"), "").unwrap();
            fs::remove_file(place.path().join("new")).unwrap();
        }
        assert!(listings.of(&folder, &Stop::default()).unwrap().is_none());
    }

    #[test]
    fn what_is_kept_stays_within_its_bound() {
        let listings = Listings::default();
        for inode in 0..20 {
            let state = State { device: 1, inode, modified: (1, 0), changed: (1, 0) };
            listings.keep(&Arc::new(Names { state, text: "x".repeat(1 << 20), entries: Vec::new() }));
        }
        assert_eq!(listings.lock().len(), 8);
    }
}
