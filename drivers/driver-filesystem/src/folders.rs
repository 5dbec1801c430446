//! Folders of the store: made when something is put in them, durable before that is acknowledged, removed when empty.
//!
//! Folders that a delete left empty are removed while others are at work, so whoever finds a folder gone simply makes it
//! again: a name cannot be created in a removed folder, the kernel refuses that.

use driver_kit::{Path, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, mkdirat, openat, unlinkat};
use rustix::io::{self, Errno};

use crate::error::{reading, writing};
use crate::hardened::Identity;
use crate::root::{FOLDER, present, split};
use crate::store::Store;
use crate::tree::remove_if_unoccupied;

/// How often a folder may vanish between its making and its use.
const ATTEMPTS: usize = 100;
/// Others may be given the store: the umask and the mode of the root say to whom.
const MODE: Mode = Mode::from_raw_mode(0o755);

impl Store {
    /// Runs `act` with the folder and the name of `path`. The folder is made if need be, and so is the way for `act`:
    /// folders without content that stand at the name are removed.
    pub(crate) fn in_folder<T>(
        &self,
        path: &Path,
        mut act: impl FnMut(&OwnedFd, &str) -> io::Result<T>,
    ) -> Result<(OwnedFd, T)> {
        let (above, name) = split(path)?;
        for _ in 0..ATTEMPTS {
            let folder = match self.make_folder(&above) {
                Err(Errno::NOENT) => continue,
                folder => folder.map_err(writing)?,
            };
            match act(&folder, name) {
                Ok(done) => return Ok((folder, done)),
                Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::EXIST) if self.clear_way(path, &folder, name)? => {}
                Err(errno) => return Err(writing(errno)),
            }
        }
        Err(writing(Errno::NOENT))
    }

    fn clear_way(&self, path: &Path, folder: &OwnedFd, name: &str) -> Result<bool> {
        self.hardened.forget(path, || remove_if_unoccupied(folder, name)).map_err(writing)
    }

    fn make_folder(&self, path: &Path) -> io::Result<OwnedFd> {
        let missing = match self.root.open(path, FOLDER) {
            Err(Errno::NOENT) => path.parent().zip(path.name()),
            opened => return opened,
        };
        let (above, name) = missing.ok_or(Errno::NOENT)?;
        let above = self.make_folder(&above)?;
        match mkdirat(&above, name, MODE) {
            Ok(()) | Err(Errno::EXIST) => openat(&above, name, FOLDER, Mode::empty()),
            Err(errno) => Err(errno),
        }
    }

    /// Returns when what was done to the entries of the folder at `path` survives the loss of power.
    pub(crate) fn settle(&self, path: &Path, folder: &OwnedFd) -> Result<()> {
        self.syncs.sync(folder).map_err(writing)?;
        match self.harden(path, folder) {
            // Somebody deleted the folder since: then nothing is left to survive.
            Err(Errno::NOENT) => Ok(()),
            hardened => hardened.map_err(writing),
        }
    }

    fn harden(&self, path: &Path, folder: &OwnedFd) -> io::Result<()> {
        let Some(above) = path.parent() else { return Ok(()) };
        let identity = Identity::of(folder)?;
        if self.hardened.knows(path, identity) {
            return Ok(());
        }
        let folder = self.root.open(&above, FOLDER)?;
        self.harden(&above, &folder)?;
        self.syncs.sync(&folder)?;
        // What this process removes it forgets; others do not tell when they remove a folder.
        if identity.is_unique() || !self.settings.shared {
            self.hardened.add(path, identity);
        }
        Ok(())
    }

    /// The folder and the name of `path`, if that folder exists.
    pub(crate) fn existing_folder<'a>(&self, path: &'a Path) -> Result<Option<(OwnedFd, &'a str)>> {
        let (above, name) = split(path)?;
        let folder = present(self.root.open(&above, FOLDER)).map_err(reading)?;
        Ok(folder.map(|folder| (folder, name)))
    }

    /// Removes the folders from `path` upwards that are empty. Where that fails nothing is lost: an empty folder does not
    /// show.
    pub(crate) fn prune(&self, path: &Path) {
        let mut empty = Some(path.clone()).filter(|path| !path.is_root());
        while let Some(path) = empty {
            let Ok(Some((folder, name))) = self.existing_folder(&path) else { return };
            if self.hardened.forget(&path, || unlinkat(&folder, name, AtFlags::REMOVEDIR)).is_err() {
                return;
            }
            empty = path.parent().filter(|path| !path.is_root());
        }
    }
}
