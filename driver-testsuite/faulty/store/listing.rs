//! List and Walk: names of one folder, and the paths of all below it.

use std::fs::DirEntry;
use std::path::Path as FilePath;

use storagedriver_proto::Path;
use storagedriver_proto::limits::PAGE_MAX;
use storagedriver_proto::v1alpha1::{Info, list_response, walk_response};

use super::Store;
use super::tree::{entries, has_content, info_of, prefix_info};
use crate::failure::Result;

type Listed = (Vec<list_response::Entry>, bool);

/// What shows of an entry: nothing of a folder without content, nor of a link.
fn shown(entry: &DirEntry) -> Result<Option<Info>> {
    let metadata = entry.metadata()?;
    if metadata.is_file() {
        return Ok(Some(info_of(&metadata)));
    }
    let is_prefix = metadata.is_dir() && has_content(&entry.path())?;
    Ok(is_prefix.then(prefix_info))
}

impl Store {
    /// At most `limit` names after `start_after`, and whether there are more.
    pub(crate) fn list(&self, path: &Path, start_after: &str, limit: usize) -> Result<Listed> {
        let _turn = self.turn()?;
        let mut page = Vec::new();
        if !self.is_folder(path)? {
            return Ok((page, false));
        }
        for (name, entry) in entries(&self.place(path))? {
            if !start_after.is_empty() && name.as_str() <= start_after {
                continue;
            }
            let Some(info) = shown(&entry)? else { continue };
            if page.len() == limit {
                return Ok((page, true));
            }
            page.push(list_response::Entry { name, info: Some(info) });
        }
        Ok((page, false))
    }

    /// The next paths below `base` after `after`.
    pub(crate) fn walk_page(&self, base: &Path, after: Option<&Path>) -> Result<Vec<walk_response::Entry>> {
        let _turn = self.turn()?;
        let mut page = Vec::new();
        if self.is_folder(base)? {
            let depth = base.components().count();
            let after: Vec<&str> = after.map(|after| after.components().skip(depth).collect()).unwrap_or_default();
            let prefix = if base.is_root() { "" } else { base.as_str() };
            gather(&self.place(base), prefix, &after, &mut page)?;
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
fn gather(folder: &FilePath, prefix: &str, after: &[&str], page: &mut Vec<walk_response::Entry>) -> Result<()> {
    for (name, entry) in entries(folder)? {
        let deeper: &[&str] = match after {
            [first, ..] if name.as_str() < *first => continue,
            [first, rest @ ..] if name == *first => rest,
            _ => &[],
        };
        let is_passed = after.first().is_some_and(|first| name == *first);
        let path = format!("{prefix}/{name}");
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            gather(&entry.path(), &path, deeper, page)?;
        } else if metadata.is_file() && !is_passed {
            page.push(walk_response::Entry { path, info: Some(info_of(&metadata)) });
        }
        if page.len() >= PAGE_MAX {
            return Ok(());
        }
    }
    Ok(())
}
