//! Removing folders with what is in them. It knows neither paths nor content: whoever calls it has decided.

use std::ffi::CString;
use std::ops::ControlFlow;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, fsync, openat, unlinkat};
use rustix::io::{self, Errno};

use crate::entries::{LONG, is_occupied, visit_all};
use crate::pool::Stop;
use crate::root::{FOLDER, present};

/// Whether a removal must survive the loss of power before the folder itself is gone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    Yes,
    /// What is removed cannot be reached by any path.
    No,
}

/// Removes whatever is at `name`. Nothing there is success; what others add meanwhile is removed too.
pub(crate) fn remove_tree<Fd: AsFd>(
    above: &Fd,
    name: &std::ffi::CStr,
    durable: Durable,
    stop: &Stop,
) -> io::Result<()> {
    loop {
        stop.check()?;
        let folder = match openat(above, name, FOLDER, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOTDIR | Errno::LOOP) => return missing_is_fine(unlinkat(above, name, AtFlags::empty())),
            Err(errno) => return missing_is_fine(Err(errno)),
        };
        remove_entries(&folder, &[], durable, stop)?;
        match unlinkat(above, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            outcome => return missing_is_fine(outcome),
        }
    }
}

/// Removes everything in `folder` but the names to `keep`.
pub(crate) fn remove_entries(folder: &OwnedFd, keep: &[&[u8]], durable: Durable, stop: &Stop) -> io::Result<()> {
    let mut folders: Vec<CString> = Vec::new();
    let mut removed_any = false;
    visit_all(folder, LONG, |name, kind| {
        stop.check()?;
        if kind == FileType::Directory {
            folders.push(name.to_owned());
        } else if !keep.contains(&name.to_bytes()) {
            removed_any |= remove_file(folder, name, &mut folders)?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if removed_any && durable == Durable::Yes {
        fsync(folder)?;
    }
    folders.iter().try_for_each(|name| remove_tree(folder, name, durable, stop))
}

fn remove_file(folder: &OwnedFd, name: &std::ffi::CStr, folders: &mut Vec<CString>) -> io::Result<bool> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => folders.push(name.to_owned()),
        outcome => missing_is_fine(outcome)?,
    }
    Ok(true)
}

/// Removes the folder `name` if there is no content below it, and tells whether the name is free now.
pub(crate) fn remove_if_unoccupied(above: &OwnedFd, name: &str) -> io::Result<bool> {
    let Some(folder) = present(openat(above, name, FOLDER, Mode::empty()))? else { return Ok(false) };
    if is_occupied(above, name)? {
        return Ok(false);
    }
    remove_folders(&folder)?;
    Ok(missing_is_fine(unlinkat(above, name, AtFlags::REMOVEDIR)).is_ok())
}

/// Removes folders only, so that a file which somebody adds at this moment is never lost.
fn remove_folders(folder: &OwnedFd) -> io::Result<()> {
    let mut folders: Vec<CString> = Vec::new();
    visit_all(folder, LONG, |name, _| {
        folders.push(name.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    for name in folders {
        if let Some(below) = present(openat(folder, &name, FOLDER, Mode::empty()))? {
            remove_folders(&below)?;
            // A folder that stays because something is in it is found out by the caller: its own removal fails.
            let _ = unlinkat(folder, &name, AtFlags::REMOVEDIR);
        }
    }
    Ok(())
}

fn missing_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(Errno::NOENT) => Ok(()),
        outcome => outcome,
    }
}
