//! [`Store`]: an opened store, and how it is opened. What can be done with it stands in the modules named after the calls.

use std::path::Path as HostPath;

use driver_kit::{Error, ErrorKind, Result, invalid};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags, fstat, fstatvfs, fsync, mkdirat, openat, stat};
use rustix::io::{self, Errno};

use crate::claims::Claims;
use crate::error::{reading, writing};
use crate::handover::Keeper;
use crate::hardened::Hardened;
use crate::lock::lock;
use crate::names::Listings;
use crate::pool::Stop;
use crate::root::{FOLDER, Root};
use crate::settings::Settings;
use crate::sync::Syncs;
use crate::workspace::{OWN_FOLDER, Workspace, sweep};

/// The folder of what the driver keeps for itself: no path can have this name.
const OWN: &str = "~bulkhead";
const WORKSPACES: &str = "workspaces";

pub(crate) struct Store {
    pub(crate) root: Root,
    pub(crate) hardened: Hardened,
    pub(crate) syncs: Syncs,
    pub(crate) claims: Claims,
    pub(crate) listings: Listings,
    pub(crate) settings: Settings,
    pub(crate) keeper: Keeper,
    /// What only a writer has.
    writer: Option<Writer>,
}

/// The lock on the store, and the place to write in.
pub(crate) struct Writer {
    pub(crate) workspace: Workspace,
    pub(crate) can_rename_without_replacing: bool,
    pub(crate) can_tell_writers: bool,
    workspaces: OwnedFd,
    _lock: OwnedFd,
}

impl Store {
    pub(crate) fn open(settings: Settings) -> Result<Self> {
        if !settings.read_only {
            make_root(&settings.location).map_err(|errno| refuse_root("cannot be made", errno))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, &settings.location, flags, Mode::empty())
            .map_err(|errno| refuse_root("cannot be opened", errno))?;
        let writer = if settings.read_only { None } else { Some(Writer::new(&directory, settings.shared)?) };
        let keeper = Keeper::of(&directory).map_err(|errno| refuse_root("cannot be looked at", errno))?;
        Ok(Store {
            keeper,
            root: Root::new(directory),
            hardened: Hardened::default(),
            syncs: Syncs::default(),
            claims: Claims::default(),
            listings: Listings::default(),
            settings,
            writer,
        })
    }

    pub(crate) fn writer(&self) -> Result<&Writer> {
        self.writer
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::ReadOnly, "this store was configured with readonly: true"))
    }

    /// Removes what processes that were killed left behind.
    pub(crate) fn sweep(&self, stop: &Stop) -> Result<()> {
        self.writer.as_ref().map_or(Ok(()), |writer| sweep(&writer.workspaces, stop))
    }

    /// Whether the root is still there, and still takes what it took.
    pub(crate) fn probe(&self) -> Result<()> {
        let there = stat(&self.settings.location).map_err(|errno| away().with_source(errno))?;
        let opened = fstat(self.root.directory()).map_err(reading)?;
        if (there.st_dev, there.st_ino) != (opened.st_dev, opened.st_ino) {
            return Err(away());
        }
        let mount = fstatvfs(self.root.directory()).map_err(reading)?;
        if self.writer.is_some() && mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(writing(Errno::ROFS));
        }
        Ok(())
    }
}

fn away() -> Error {
    let sentence =
        "the folder named by rootdirectory was moved, replaced or unmounted: restart the driver when it is back";
    Error::new(ErrorKind::Unavailable { may_have_happened: false }, sentence)
}

impl Writer {
    fn new(root: &OwnedFd, shared: bool) -> Result<Self> {
        let own = own_folder(root, OWN).map_err(|errno| refuse_root("cannot be written to", errno))?;
        let lock = lock(&own, shared)?;
        let workspaces = own_folder(&own, WORKSPACES).map_err(writing)?;
        let workspace = Workspace::new(&workspaces).map_err(writing)?;
        let can_rename_without_replacing = workspace.can_rename_without_replacing().map_err(writing)?;
        let can_tell_writers = workspace.can_tell_writers().map_err(writing)?;
        Ok(Writer { workspace, can_rename_without_replacing, can_tell_writers, workspaces, _lock: lock })
    }
}

fn own_folder(above: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(above, name, OWN_FOLDER) {
        Ok(()) | Err(Errno::EXIST) => openat(above, name, FOLDER, Mode::empty()),
        Err(errno) => Err(errno),
    }
}

/// Makes the root and what is missing above it, for the driver's user alone, and durably.
fn make_root(location: &HostPath) -> io::Result<()> {
    if location.is_dir() {
        return Ok(());
    }
    let above = match location.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => HostPath::new("."),
    };
    make_root(above)?;
    match mkdirat(CWD, location, OWN_FOLDER) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    fsync(openat(CWD, above, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn refuse_root(problem: &str, errno: Errno) -> Error {
    let cause = match errno {
        Errno::NOENT => "it does not exist",
        Errno::NOTDIR => "it, or something above it, is a file",
        Errno::ACCESS | Errno::PERM => "the driver's user may not",
        Errno::ROFS => "the file system is read-only; set readonly: true to serve it as it is",
        _ => "the file system refuses",
    };
    invalid("rootdirectory", &format!("names a folder that {problem}: {cause}")).with_source(errno)
}
