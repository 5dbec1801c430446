//! Where paths are in the folder, what is there, and how content comes and goes.

use std::fs::{self, DirEntry, File, FileTimes, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path as FilePath, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use storagedriver_proto::Path;
use storagedriver_proto::v1alpha1::Info;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use super::{Store, Turn};
use crate::failure::{Result, failure};
use crate::fault::Fault;

/// What is at a path.
pub(super) enum Found {
    Nothing,
    Prefix,
    Content(PathBuf, Metadata),
}

pub(super) fn info_of(metadata: &Metadata) -> Info {
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    let version = version_of(metadata);
    let seconds = if Fault::ModifiedEarly.on() { seconds - 3600 } else { seconds };
    let modified = prost_types::Timestamp { seconds, nanos: i32::try_from(nanoseconds).unwrap_or_default() };
    Info {
        size: metadata.len(),
        modified: (!Fault::ModifiedMissing.on()).then_some(modified),
        version,
        is_prefix: false,
    }
}

fn version_of(metadata: &Metadata) -> String {
    let (seconds, nanoseconds, size) = (metadata.mtime(), metadata.mtime_nsec(), metadata.len());
    match (seconds, size) {
        _ if Fault::VersionConstant.on() => "1".to_owned(),
        (_, size) if Fault::VersionOfSize.on() => format!("{size:x}"),
        (seconds, size) if Fault::VersionOfSecond.on() => format!("{seconds:x}.{size:x}"),
        _ if Fault::VersionLong.on() => format!("{nanoseconds:0300}"),
        _ => format!("{seconds:x}.{nanoseconds:x}.{:x}.{size:x}", metadata.ino()),
    }
}

pub(super) fn prefix_info() -> Info {
    let size = if Fault::PrefixSized.on() { 4096 } else { 0 };
    Info { is_prefix: !Fault::PrefixAsContent.on(), size, ..Info::default() }
}

/// The entries of a folder by name; none when it is not there.
pub(super) fn entries(folder: &FilePath) -> io::Result<Vec<(String, DirEntry)>> {
    let entries = match fs::read_dir(folder) {
        Err(problem) if problem.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let named = entries.map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry)));
    let mut named = named.collect::<io::Result<Vec<_>>>()?;
    named.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(named)
}

/// Whether there is content in a folder or below it.
pub(super) fn has_content(folder: &FilePath) -> io::Result<bool> {
    if Fault::EmptyPrefixStays.on() {
        return Ok(true);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_file() || (kind.is_dir() && has_content(&entry.path())?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What all files in a folder and below it hold.
fn size_of(folder: &FilePath) -> io::Result<u64> {
    let mut size = 0;
    for (_, entry) in entries(folder)? {
        let metadata = entry.metadata()?;
        size += if metadata.is_dir() { size_of(&entry.path())? } else { metadata.len() };
    }
    Ok(size)
}

impl Store {
    pub(super) fn content_folder(&self) -> PathBuf {
        self.root.join("content")
    }

    /// The place of `path` in the folder.
    pub(super) fn place(&self, path: &Path) -> PathBuf {
        path.components().fold(self.content_folder(), |place, component| place.join(component))
    }

    /// What is at `path`. Links are not followed: nobody but the driver makes anything here, and it makes none.
    pub(super) fn at(&self, path: &Path) -> Result<Found> {
        let mut place = self.content_folder();
        let mut metadata = fs::symlink_metadata(&place)?;
        for component in path.components() {
            if !metadata.is_dir() {
                return Ok(Found::Nothing);
            }
            place.push(component);
            metadata = match fs::symlink_metadata(&place) {
                Err(problem) if problem.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
                metadata => metadata?,
            };
        }
        match metadata {
            file if file.is_file() => Ok(Found::Content(place, file)),
            folder if folder.is_dir() && has_content(&place)? => Ok(Found::Prefix),
            _ => Ok(Found::Nothing),
        }
    }

    /// Content may come to `path`.
    pub(super) fn check_target(&self, path: &Path, if_absent: bool) -> Result<()> {
        match self.at(path)? {
            Found::Content(..) if if_absent && Fault::IfAbsentIgnored.on() => {}
            Found::Prefix | Found::Content(..) if if_absent => {
                return Err(failure(Reason::AlreadyExists, "something is there"));
            }
            Found::Prefix if Fault::ConflictLosesBelow.on() => {}
            Found::Prefix => return Err(failure(Reason::PathConflict, "content is below the path")),
            Found::Nothing | Found::Content(..) => {}
        }
        for above in std::iter::successors(path.parent(), Path::parent).filter(|above| !above.is_root()) {
            // Looked at alone: whether a folder has content below costs more, and does not matter.
            let place = self.place(&above);
            let found = place.symlink_metadata();
            if found.as_ref().is_ok_and(Metadata::is_symlink) && !Fault::LinksFollowed.on() {
                return Err(failure(Reason::PathConflict, "something foreign is above the path"));
            }
            if found.is_ok_and(|found| found.is_file()) {
                if Fault::ConflictLosesAbove.on() {
                    fs::remove_file(place)?;
                    continue;
                }
                return Err(failure(Reason::PathConflict, "content is above the path"));
            }
        }
        Ok(())
    }

    /// `more` bytes have a place in the store.
    pub(super) fn check_space(&self, more: usize) -> Result<()> {
        if self.settings.max_bytes == u64::MAX {
            return Ok(());
        }
        let used = size_of(&self.content_folder())? + size_of(&self.root.join("sessions"))?;
        if used + more as u64 > self.settings.max_bytes {
            return Err(io::Error::from(ErrorKind::QuotaExceeded).into());
        }
        Ok(())
    }

    /// Waits until power may be lost, when that was declared.
    pub(super) fn settle(&self, file: &File) -> io::Result<()> {
        if self.settings.is_power_safe() { file.sync_all() } else { Ok(()) }
    }

    /// The folders from `place` up to the root of the store, settled.
    pub(super) fn settle_folders(&self, place: &FilePath) -> io::Result<()> {
        if !self.settings.is_power_safe() {
            return Ok(());
        }
        let above = place.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root));
        above.filter(|folder| folder.is_dir()).try_for_each(|folder| File::open(folder)?.sync_all())
    }

    /// Removes the folders above `place` that nothing is left in, below `top`.
    pub(super) fn prune(&self, place: &FilePath, top: &str) {
        if Fault::EmptyPrefixStays.on() || Fault::EmptyFolderListed.on() {
            return;
        }
        let top = self.root.join(top);
        let above = place.ancestors().skip(1).take_while(|folder| folder.starts_with(&top) && **folder != top);
        // The first folder with something in it ends this.
        for folder in above {
            if fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }
}

impl Turn<'_> {
    /// Gives content a time of its own, from which its version is made.
    pub(super) fn stamp(&mut self, file: &File) -> io::Result<()> {
        let now = SystemTime::now().max(self.inner.stamp + Duration::from_nanos(1)).max(UNIX_EPOCH);
        self.inner.stamp = now;
        file.set_times(FileTimes::new().set_modified(now))
    }

    /// The file `source` becomes the content at `path`, in one step.
    pub(super) fn publish(&mut self, source: &FilePath, path: &Path) -> Result<Info> {
        let file = File::open(source)?;
        self.stamp(&file)?;
        self.store.settle(&file)?;
        let place = self.store.place(path);
        self.make_way(&place)?;
        fs::rename(source, &place)?;
        if Fault::WritesLost.on() {
            self.store.will_lose(path)?;
        }
        self.store.sabotage.forget_put();
        if let (true, Some(name)) = (Fault::TemporaryStays.on(), path.name()) {
            fs::write(place.with_file_name(format!(".{name:.200}.temporary")), "")?;
        }
        self.store.settle_folders(&place)?;
        Ok(info_of(&file.metadata()?))
    }

    /// Makes the folders above `place`, and removes those at it: there is no content in them.
    pub(super) fn make_way(&self, place: &FilePath) -> io::Result<()> {
        if Fault::TemporaryCollides.on() {
            // Nothing is there, unless somebody used that name.
            let _ = fs::remove_file(place.with_extension("tmp"));
        }
        if place.is_dir() {
            fs::remove_dir_all(place)?;
        }
        place.parent().map_or(Ok(()), fs::create_dir_all)
    }
}
