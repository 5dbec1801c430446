//! [`Root`]: the one place where a path becomes an open descriptor, and the reason why none leads out of the store.
//!
//! A [`Path`] has no `.` and no `..`, and no symbolic link is followed, so every component is a step downwards. Everything
//! else in this crate works with single names below a folder that was opened here. It knows nothing of content.

use driver_kit::{Error, ErrorKind, Path, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat};
use rustix::io::{self, Errno};

/// Opens a file for reading. A FIFO or a device that stands there must not make the driver wait.
pub(crate) const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(SAFE);
/// Opens a file for writing; it stays as it is.
pub(crate) const WRITABLE: OFlags = OFlags::RDWR.union(OFlags::NONBLOCK).union(SAFE);
/// Opens a folder for listing, syncing, and as the place of single names.
pub(crate) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(SAFE);
/// Opens whatever there is, to look at it only.
pub(crate) const NAME: OFlags = OFlags::PATH.union(SAFE);

const SAFE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC);
const CONFINED: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// The folder that the store is.
pub(crate) struct Root {
    directory: OwnedFd,
    /// The kernel resolves a whole path in one call. Old kernels and some sandboxes do not: then it is one call a component.
    has_openat2: bool,
}

impl Root {
    pub(crate) fn new(directory: OwnedFd) -> Self {
        let has_openat2 = openat2(&directory, ".", NAME, Mode::empty(), CONFINED).is_ok();
        Root { directory, has_openat2 }
    }

    /// The folder itself, for single names in it.
    pub(crate) fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Opens what is at `path`. A symbolic link at it or above it is [`Errno::LOOP`].
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        if self.has_openat2 {
            let relative = if path.is_root() { "." } else { &path.as_str()[1..] };
            // With NOFOLLOW the kernel would call a link where a folder should be "not a directory".
            return openat2(&self.directory, relative, flags - OFlags::NOFOLLOW, Mode::empty(), CONFINED);
        }
        self.walk(path, flags)
    }

    /// Whether a file stands at `name`, by its path from `folder`, or above it; `false` also where the kernel cannot tell in
    /// one call.
    ///
    /// It is asked for a folder there, which costs less than to open a file: a link is another refusal. Only what is neither
    /// file, folder nor link, and has no place in a store, is taken for a file.
    pub(crate) fn is_file(&self, folder: &OwnedFd, name: &str) -> bool {
        let flags = (NAME - OFlags::NOFOLLOW) | OFlags::DIRECTORY;
        self.has_openat2 && openat2(folder, name, flags, Mode::empty(), CONFINED).err() == Some(Errno::NOTDIR)
    }

    fn walk(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let mut components = path.components();
        let Some(name) = components.next_back() else { return step(&self.directory, ".", flags) };
        let mut folder = step(&self.directory, ".", NAME)?;
        for component in components {
            folder = step(&folder, component, NAME | OFlags::DIRECTORY)?;
        }
        step(&folder, name, flags)
    }
}

/// Opens one name. A link where a folder should be is called a link.
fn step(folder: &OwnedFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    openat(folder, name, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOTDIR if is_link(folder, name) => Errno::LOOP,
        _ => errno,
    })
}

fn is_link(folder: impl AsFd, name: &str) -> bool {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

/// `None` when nothing is there, which a file above the name also means.
pub(crate) fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The folder and the name of `path`, which must not be `/`.
pub(crate) fn split(path: &Path) -> Result<(Path, &str)> {
    path.parent().zip(path.name()).ok_or_else(|| Error::new(ErrorKind::RequestInvalid, "'/' holds no content"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::CWD;

    use super::*;

    fn roots(location: &std::path::Path) -> [Root; 2] {
        let open = || openat(CWD, location, FOLDER, Mode::empty()).unwrap();
        [Root::new(open()), Root { directory: open(), has_openat2: false }]
    }

    #[test]
    fn both_ways_of_opening_refuse_every_link() {
        let place = tempfile::tempdir().unwrap();
        let (inside, outside) = (place.path().join("store"), place.path().join("outside"));
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(inside.join("a/b/file"), "in").unwrap();
        fs::write(outside.join("secret"), "out").unwrap();
        symlink(&outside, inside.join("folder-link")).unwrap();
        symlink(outside.join("secret"), inside.join("file-link")).unwrap();
        symlink("b/file", inside.join("a/inner-link")).unwrap();
        let rows = [
            ("/a/b/file", FILE, None),
            ("/a/b", FOLDER, None),
            ("/", FOLDER, None),
            ("/a/b/none", FILE, Some(Errno::NOENT)),
            ("/a/b/file/below", FILE, Some(Errno::NOTDIR)),
            ("/folder-link/secret", FILE, Some(Errno::LOOP)),
            ("/folder-link/secret", NAME, Some(Errno::LOOP)),
            ("/folder-link", FOLDER, Some(Errno::LOOP)),
            ("/file-link", FILE, Some(Errno::LOOP)),
            ("/file-link", WRITABLE, Some(Errno::LOOP)),
            ("/a/inner-link", FILE, Some(Errno::LOOP)),
        ];
        for root in roots(&inside) {
            for (path, flags, expected) in rows {
                let opened = root.open(&Path::parse(path).unwrap(), flags);
                assert_eq!(opened.err(), expected, "{path}, openat2: {}", root.has_openat2);
            }
        }
    }

    #[test]
    fn a_file_below_a_folder_is_told_from_everything_else() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("a/b/folder")).unwrap();
        fs::write(place.path().join("a/b/file"), "").unwrap();
        symlink("b", place.path().join("a/link")).unwrap();
        let [root, old] = roots(place.path());
        let folder = root.open(&Path::parse("/a").unwrap(), FOLDER).unwrap();
        let rows = [
            ("b/file", true),
            ("b/file/below", true),
            ("b/folder", false),
            ("b/none", false),
            ("link/file", false),
            ("../a/b/file", false),
        ];
        for (name, expected) in rows {
            assert_eq!((root.is_file(&folder, name), old.is_file(&folder, name)), (expected, false), "{name}");
        }
    }

    #[test]
    fn special_files_keep_nobody_waiting() {
        let place = tempfile::tempdir().unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, place.path().join("fifo"), FileType::Fifo, mode, 0).unwrap();
        for root in roots(place.path()) {
            assert!(root.open(&Path::parse("/fifo").unwrap(), FILE).is_ok());
        }
    }
}
