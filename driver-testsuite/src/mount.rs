//! File systems of the suite's own, to be full or read-only, and folders that nobody may change. They need the rights of root.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount};

/// A file system in memory over a folder. Dropping it takes it away, also while files in it are open.
pub(crate) struct Mount {
    folder: PathBuf,
}

impl Mount {
    /// Over `folder`, for `size` bytes.
    pub(crate) fn over(folder: &Path, size: u64) -> io::Result<Self> {
        let options = std::ffi::CString::new(format!("size={size},mode=0700"))?;
        mount("none", folder, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))?;
        let mount = Mount { folder: folder.to_owned() };
        mount_change(folder, MountPropagationFlags::PRIVATE)?;
        Ok(mount)
    }

    /// Takes no more changes, or takes them again. Fails while a file is open for writing.
    pub(crate) fn set_read_only(&self, read_only: bool) -> io::Result<()> {
        let flags = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        Ok(mount_remount(&self.folder, flags, "")?)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // With the case over there is nobody to tell.
        let _ = unmount(&self.folder, UnmountFlags::DETACH);
    }
}

/// Folders that nobody can change, not even root. Dropping it makes them as they were.
pub(crate) struct Frozen {
    folders: Vec<File>,
}

impl Frozen {
    /// `folder`, and every folder below it.
    pub(crate) fn below(folder: &Path) -> io::Result<Self> {
        let mut frozen = Frozen { folders: Vec::new() };
        frozen.freeze(folder)?;
        Ok(frozen)
    }

    fn freeze(&mut self, folder: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.freeze(&entry.path())?;
            }
        }
        let folder = File::open(folder)?;
        ioctl_setflags(&folder, ioctl_getflags(&folder)? | IFlags::IMMUTABLE)?;
        self.folders.push(folder);
        Ok(())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for folder in &self.folders {
            // What stays frozen keeps the folder of the case from being removed, and harms nothing else.
            let _ = ioctl_getflags(folder).and_then(|flags| ioctl_setflags(folder, flags - IFlags::IMMUTABLE));
        }
    }
}
