//! [`LocalFile`]: content as an open file, which is one version of it whatever happens to its path.
//!
//! It is read at positions only, since the offset of an open file is shared with whoever else has it open; and never
//! mapped, since who reads a mapping of a file that became shorter is killed.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use rustix::io::{ReadWriteFlags, pread, preadv2, retry_on_intr};
use storagedriver_proto::Path;
use storagedriver_proto::limits::CHUNK_PREFERRED;
use tokio::task::spawn_blocking;

use super::error::{DriverError, DriverErrorKind, Fault};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LocalFile {
    file: Arc<OwnedFd>,
    path: Path,
    size: u64,
}

impl LocalFile {
    /// Takes what a driver handed over for the content at `path`, if it is what was promised.
    pub(super) fn believe(file: OwnedFd, path: &Path, size: u64) -> Result<Self, Fault> {
        // Read only is the absence of both other modes.
        if flags_of(&file, path, size)?.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::PATH) {
            return Err(Fault::nonsense(format!("the descriptor of {path} is not open for reading only")));
        }
        Ok(LocalFile { file: Arc::new(file), path: path.clone(), size })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// All of the file, if that is at most `max` bytes and nobody has to wait for the disk.
    pub(crate) fn if_at_hand(&self, max: usize) -> Option<Vec<u8>> {
        let size = usize::try_from(self.size).ok().filter(|size| *size <= max)?;
        let mut content = vec![0; size];
        let mut room = [IoSliceMut::new(&mut content)];
        let read = preadv2(&self.file, &mut room, 0, ReadWriteFlags::NOWAIT).ok()?;
        (read == size).then_some(content)
    }

    /// The bytes from `offset`, `length` of them, which must lie within the file.
    pub(crate) fn stream(self, offset: u64, length: u64) -> BoxStream<'static, Result<Bytes, DriverError>> {
        let end = offset.saturating_add(length);
        let pieces = try_unfold((self, offset), move |(file, offset)| async move {
            if offset >= end {
                return Ok(None);
            }
            let (piece, file) = file.read_piece(offset, end).await?;
            let offset = offset + piece.len() as u64;
            Ok(Some((piece, (file, offset))))
        });
        pieces.boxed()
    }

    async fn read_piece(self, offset: u64, end: u64) -> Result<(Bytes, Self), DriverError> {
        let most = usize::try_from(end - offset).unwrap_or(usize::MAX).min(CHUNK_PREFERRED);
        let file = Arc::clone(&self.file);
        let read = spawn_blocking(move || {
            let mut piece = Vec::with_capacity(most);
            retry_on_intr(|| pread(&file, spare_capacity(&mut piece), offset)).map(|_| piece)
        });
        let failed = |problem: String| Fault::found(DriverErrorKind::Internal, problem);
        let outcome = match read.await {
            Ok(Ok(piece)) if piece.is_empty() => Err(self.shortened()),
            Ok(Ok(mut piece)) => {
                piece.truncate(most);
                Ok(Bytes::from(piece))
            }
            Ok(Err(problem)) => Err(failed(problem.to_string())),
            Err(problem) => Err(failed(problem.to_string())),
        };
        match outcome {
            Ok(piece) => Ok((piece, self)),
            Err(fault) => Err(fault.into_error("read", &self.path, false)),
        }
    }

    fn shortened(&self) -> Fault {
        Fault::found(DriverErrorKind::Corrupt, format!("the file has fewer than its {} bytes", self.size))
    }
}

/// How a descriptor is open that came for `path`, if it is that of a regular file of `size` bytes.
pub(super) fn flags_of(file: &OwnedFd, path: &Path, size: u64) -> Result<OFlags, Fault> {
    let unlike = |what: String| Fault::nonsense(format!("the descriptor of {path} is {what}"));
    let stat = fstat(file).map_err(|problem| unlike(problem.to_string()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(unlike("no regular file".to_owned()));
    }
    if u64::try_from(stat.st_size) != Ok(size) {
        return Err(unlike(format!("a file of {} bytes, where {size} were told", stat.st_size)));
    }
    fcntl_getfl(file).map_err(|problem| unlike(problem.to_string()))
}

impl AsFd for LocalFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use futures::TryStreamExt;

    use super::*;

    fn path() -> Path {
        Path::parse("/a").unwrap()
    }

    /// A file of `size` bytes, each of which tells its place, open in the way that `open` says.
    fn file(size: usize, open: fn(&std::path::Path) -> std::io::Result<File>) -> OwnedFd {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        written.write_all(&(0..size).map(|place| place as u8).collect::<Vec<_>>()).unwrap();
        open(written.path()).unwrap().into()
    }

    #[tokio::test]
    async fn every_part_is_read_whole() {
        let size = 2 * CHUNK_PREFERRED + 100;
        let local = LocalFile::believe(file(size, |path| File::open(path)), &path(), size as u64).unwrap();
        for (offset, length) in [(0, size), (0, 0), (size, 0), (7, CHUNK_PREFERRED + 9), (size - 1, 1)] {
            let pieces: Vec<Bytes> = local.clone().stream(offset as u64, length as u64).try_collect().await.unwrap();
            let expected: Vec<u8> = (offset..offset + length).map(|place| place as u8).collect();
            assert_eq!(pieces.concat(), expected, "{offset} {length}");
        }
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("content");
        std::fs::write(&name, [1; 1000]).unwrap();
        let local = LocalFile::believe(File::open(&name).unwrap().into(), &path(), 1000).unwrap();
        File::options().write(true).open(&name).unwrap().set_len(400).unwrap();
        let read: Result<Vec<Bytes>, _> = local.stream(0, 1000).try_collect().await;
        assert_eq!(read.unwrap_err().kind(), DriverErrorKind::Corrupt);
    }

    #[test]
    fn what_was_not_promised_is_not_believed() {
        let writable = |path: &std::path::Path| File::options().read(true).write(true).open(path);
        let folder = File::open(std::env::temp_dir()).unwrap().into();
        let size = fstat(&folder).map(|stat: rustix::fs::Stat| stat.st_size as u64).unwrap();
        for (descriptor, size) in [(file(10, |p| File::open(p)), 11), (file(10, writable), 10), (folder, size)] {
            assert_eq!(LocalFile::believe(descriptor, &path(), size).unwrap_err().kind, DriverErrorKind::Protocol);
        }
    }
}
