//! Reading folders: which names in them can be seen at all, and whether there is any content below.
//!
//! A name that is no path component is none of the store's: the driver's own files, `lost+found`, what an operator left.
//! It knows nothing of pages.

use std::ffi::CStr;
use std::ops::ControlFlow;

use driver_kit::Path;
use driver_kit::limits::PATH_MAX;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Mode, RawDir, openat, statat};
use rustix::io::{self, Errno};

use crate::root::{FOLDER, present};

/// No valid path goes deeper: each component takes two bytes at least.
const DEPTH_MAX: usize = PATH_MAX / 2;
/// What one system call reads of a long folder. The allocator tidies up after each piece of memory of twice this size.
pub(crate) const LONG: usize = 32 << 10;
/// What one system call reads where the first entries will do.
const SHORT: usize = 4 << 10;

/// Shows `visit` every entry of `folder` but `.` and `..`, until it breaks off. A second visit of one descriptor goes on
/// where the first ended.
pub(crate) fn visit_all<Fd: AsFd>(
    folder: &Fd,
    buffer: usize,
    mut visit: impl FnMut(&CStr, FileType) -> io::Result<ControlFlow<()>>,
) -> io::Result<()> {
    let mut buffer: Vec<u8> = Vec::with_capacity(buffer);
    let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = match entry {
            // The folder was removed since it was opened, and has nothing any more.
            Err(Errno::NOENT) => break,
            entry => entry?,
        };
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        if visit(entry.file_name(), entry.file_type())?.is_break() {
            break;
        }
    }
    Ok(())
}

/// As [`visit_all`], only what may belong to the store: files and folders with names that a path can have.
pub(crate) fn visit_visible<Fd: AsFd>(
    folder: &Fd,
    buffer: usize,
    mut visit: impl FnMut(&str, FileType) -> io::Result<ControlFlow<()>>,
) -> io::Result<()> {
    visit_all(folder, buffer, |name, kind| match name.to_str() {
        Ok(name) if may_show(kind) && Path::is_component(name) => visit(name, kind),
        _ => Ok(ControlFlow::Continue(())),
    })
}

/// Some file systems do not tell the kind of an entry with its name.
fn may_show(kind: FileType) -> bool {
    matches!(kind, FileType::RegularFile | FileType::Directory | FileType::Unknown)
}

/// Whether there is content anywhere below the folder `name`.
pub(crate) fn is_occupied<Fd: AsFd>(above: &Fd, name: &str) -> io::Result<bool> {
    Ok(any_content(above, name)?.is_some())
}

/// Some content below the folder `name`, by its path from there.
///
/// It ends at the first file it meets. Where callers delete what they no longer need, that is a few folders down.
pub(crate) fn any_content<Fd: AsFd>(above: &Fd, name: &str) -> io::Result<Option<String>> {
    any_content_within(above, name, DEPTH_MAX)
}

fn any_content_within<Fd: AsFd>(above: &Fd, name: &str, depth: usize) -> io::Result<Option<String>> {
    if depth == 0 {
        return Ok(None);
    }
    let Some(folder) = present(openat(above, name, FOLDER, Mode::empty()))? else { return Ok(None) };
    let mut found = None;
    visit_visible(&folder, SHORT, |name, kind| {
        found = match kind_of(&folder, name, kind)? {
            FileType::RegularFile => Some(name.to_owned()),
            FileType::Directory => any_content_within(&folder, name, depth - 1)?.map(|rest| format!("{name}/{rest}")),
            _ => None,
        };
        Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}

fn kind_of<Fd: AsFd>(folder: &Fd, name: &str, kind: FileType) -> io::Result<FileType> {
    if kind != FileType::Unknown {
        return Ok(kind);
    }
    let stat = present(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))?;
    Ok(stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::CWD;

    use super::*;

    #[test]
    fn a_folder_that_is_removed_while_it_is_open_is_empty() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("gone")).unwrap();
        let folder = openat(CWD, place.path().join("gone"), FOLDER, Mode::empty()).unwrap();
        fs::remove_dir(place.path().join("gone")).unwrap();
        let mut seen = 0;
        let visited = visit_all(&folder, SHORT, |_, _| {
            seen += 1;
            Ok(ControlFlow::Continue(()))
        });
        assert_eq!((visited, seen), (Ok(()), 0));
    }

    #[test]
    fn only_content_makes_a_folder_occupied() {
        let place = tempfile::tempdir().unwrap();
        let (empty, full) = (place.path().join("empty"), place.path().join("full"));
        fs::create_dir_all(empty.join("a/b/c")).unwrap();
        fs::create_dir_all(empty.join("~own")).unwrap();
        fs::write(empty.join("~own/file"), "").unwrap();
        fs::write(empty.join("a/not a name"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", empty.join("a/link")).unwrap();
        fs::create_dir_all(full.join("a/b/c")).unwrap();
        fs::write(full.join("a/b/c/file"), "").unwrap();
        let above = openat(CWD, place.path(), FOLDER, Mode::empty()).unwrap();
        let rows = [("empty", false), ("full", true), ("none", false)];
        for (name, expected) in rows {
            assert_eq!(is_occupied(&above, name), Ok(expected), "{name}");
        }
    }
}
