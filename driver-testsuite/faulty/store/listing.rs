//! List and Walk: names of one folder, and the paths of all below it.

use std::fs::{DirEntry, Metadata};
use std::path::Path as FilePath;

use storagedriver_proto::Path;
use storagedriver_proto::limits::PAGE_MAX;
use storagedriver_proto::v1alpha1::{Info, list_response, walk_response};

use super::Store;
use super::tree::{Found, entries, has_content, info_of, prefix_info};
use crate::failure::{Result, not_found};
use crate::fault::Fault;

/// Names of a folder that are enough for a faulty driver.
const CAP: usize = 8192;

pub(super) type Listed = (Vec<list_response::Entry>, bool);

/// What shows of an entry: nothing of a folder without content, nor of a link.
fn shown(entry: &DirEntry) -> Result<Option<Info>> {
    let metadata = entry.metadata()?;
    if metadata.is_file() {
        return Ok(Some(listed_info(&metadata)));
    }
    let is_prefix = metadata.is_dir() && (Fault::EmptyFolderListed.on() || has_content(&entry.path())?);
    Ok(is_prefix.then(prefix_info))
}

fn listed_info(metadata: &Metadata) -> Info {
    let info = info_of(metadata);
    if Fault::ListedWithoutSize.on() { Info { size: 0, ..info } } else { info }
}

/// What a faulty driver sees of a folder.
fn capped(mut listed: Vec<(String, DirEntry)>) -> Vec<(String, DirEntry)> {
    if Fault::ListCapped.on() {
        listed.truncate(CAP);
    }
    listed
}

/// Whether a listing that starts after `start` has `name`.
fn is_after(name: &str, start: &str) -> bool {
    start.is_empty() || name > start || (Fault::ListStartInclusive.on() && name == start)
}

fn page_of(listed: Vec<(String, DirEntry)>, limit: usize) -> Result<Listed> {
    let mut page = Vec::new();
    for (name, entry) in listed {
        let Some(info) = shown(&entry)? else { continue };
        if page.len() == limit {
            return Ok((page, !Fault::MoreNever.on()));
        }
        page.push(list_response::Entry { name, info: Some(info) });
    }
    let more = Fault::MoreWhenFull.on() && page.len() == limit;
    Ok((page, more))
}

impl Store {
    /// At most `limit` names after `start_after`, and whether there are more.
    pub(crate) fn list(&self, path: &Path, start_after: &str, limit: usize) -> Result<Listed> {
        let key = format!("{path} {start_after} {limit}");
        if let Some(stale) = self.sabotage.stale_listing(&key) {
            return Ok(stale);
        }
        let _turn = self.turn()?;
        if !self.is_folder(path)? {
            return self.list_nothing(path);
        }
        let mut listed = self.entries_of(path)?;
        if Fault::ListStartMustExist.on()
            && !start_after.is_empty()
            && listed.iter().all(|(name, _)| name != start_after)
        {
            return Ok((Vec::new(), false));
        }
        let passed = self.sabotage.position(path, start_after);
        match passed {
            Some(passed) => drop(listed.drain(..passed.min(listed.len()))),
            None => listed.retain(|(name, _)| is_after(name, start_after)),
        }
        if Fault::ListGap.on() && !start_after.is_empty() && !listed.is_empty() {
            listed.remove(0);
        }
        let page = page_of(listed, limit)?;
        self.sabotage.remember_listing(key, &page);
        self.sabotage.remember_position(path, passed.unwrap_or_default(), &page);
        Ok(page)
    }

    fn entries_of(&self, path: &Path) -> Result<Vec<(String, DirEntry)>> {
        let mut listed = capped(entries(&self.place(path))?);
        if Fault::ListUnordered.on() {
            listed.reverse();
        }
        if Fault::ListBucketOrder.on() {
            listed.sort_by_key(|(name, entry)| if entry.path().is_dir() { format!("{name}/") } else { name.clone() });
        }
        if Fault::SessionsListed.on() {
            let sessions = entries(&self.session_folder(path))?;
            listed.extend(sessions.into_iter().filter(|(name, _)| !name.starts_with('=')));
        }
        Ok(listed)
    }

    fn list_nothing(&self, path: &Path) -> Result<Listed> {
        let is_content = matches!(self.at(path)?, Found::Content(..));
        let fails = if is_content { Fault::ListContentFails } else { Fault::ListNothingFails };
        if fails.on() { Err(not_found()) } else { Ok((Vec::new(), false)) }
    }

    /// The next paths below `base` after `after`.
    pub(crate) fn walk_page(&self, base: &Path, after: Option<&Path>) -> Result<Vec<walk_response::Entry>> {
        let _turn = self.turn()?;
        let most = if Fault::WalkMessageTooLarge.on() { usize::MAX } else { PAGE_MAX };
        self.walk(base, after, most)
    }

    /// All paths below `base`, for who has the turn.
    pub(super) fn walk_all(&self, base: &Path) -> Result<Vec<walk_response::Entry>> {
        self.walk(base, None, usize::MAX)
    }

    fn walk(&self, base: &Path, after: Option<&Path>, most: usize) -> Result<Vec<walk_response::Entry>> {
        let mut page = Vec::new();
        if self.is_folder(base)? {
            let depth = base.components().count();
            let after: Vec<&str> = after.map(|after| after.components().skip(depth).collect()).unwrap_or_default();
            let prefix = if base.is_root() { "" } else { base.as_str() };
            gather(&self.place(base), prefix, &after, most, &mut page)?;
        }
        Ok(page)
    }

    /// Whether there is a folder at `path` that no link leads to.
    fn is_folder(&self, path: &Path) -> Result<bool> {
        let mut place = self.content_folder();
        let is_folder = |place: &FilePath| place.symlink_metadata().is_ok_and(|found| found.is_dir());
        for component in path.components() {
            place.push(component);
            if !is_folder(&place) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Adds what is in a folder after the components `after`, until the page is full.
fn gather(
    folder: &FilePath,
    prefix: &str,
    after: &[&str],
    most: usize,
    page: &mut Vec<walk_response::Entry>,
) -> Result<()> {
    let mut listed = capped(entries(folder)?);
    if Fault::WalkBucketOrder.on() {
        listed.sort_by_key(|(name, entry)| if entry.path().is_dir() { format!("{name}/") } else { name.clone() });
    }
    for (name, entry) in listed {
        let deeper: &[&str] = match after {
            [first, ..] if name.as_str() < *first => continue,
            [first, ..] if Fault::WalkSkipsNamesakes.on() && name != *first && name.starts_with(*first) => continue,
            [first, _, ..] if Fault::WalkSkipsRest.on() && name == *first => continue,
            [first, rest @ ..] if name == *first => rest,
            _ => &[],
        };
        let is_passed = after.first().is_some_and(|first| name == *first) && !Fault::WalkStartInclusive.on();
        let path = format!("{prefix}/{name}");
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            if Fault::WalkPrefixes.on() && after.first().is_none_or(|first| name != *first) {
                page.push(walk_response::Entry { path: path.clone(), info: Some(prefix_info()) });
            }
            gather(&entry.path(), &path, deeper, most, page)?;
        } else if metadata.is_file() && !is_passed {
            page.push(walk_response::Entry { path, info: Some(listed_info(&metadata)) });
        }
        if page.len() >= most {
            return Ok(());
        }
    }
    Ok(())
}
