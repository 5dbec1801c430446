//! Looking at content and reading it. An open file is one version, whatever happens to its path meanwhile.

use driver_kit::limits::CHUNK_PREFERRED;
use driver_kit::{Bytes, ContentStream, Error, ErrorKind, Info, Path, ReadRange, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Stat, fstat};
use rustix::io;
use tokio::sync::OwnedSemaphorePermit;

use crate::entries::is_occupied;
use crate::error::{foreign, not_found, reading, shortened};
use crate::info::{content, kind, size};
use crate::pool::Pool;
use crate::positional::read_up_to;
use crate::root::{FILE, NAME, present};
use crate::store::Store;

/// A file that was opened for reading, and the bytes of it that are still to be read.
pub(crate) struct Reader {
    file: OwnedFd,
    offset: u64,
    end: u64,
}

impl Store {
    pub(crate) fn stat(&self, path: &Path) -> Result<Info> {
        let found = present(self.root.open(path, NAME)).map_err(reading)?.ok_or_else(not_found)?;
        let stat = fstat(&found).map_err(reading)?;
        match kind(&stat) {
            FileType::RegularFile => Ok(content(&stat)),
            FileType::Directory if self.is_prefix(path)? => Ok(Info::Prefix),
            FileType::Directory => Err(not_found()),
            _ => Err(foreign()),
        }
    }

    fn is_prefix(&self, path: &Path) -> Result<bool> {
        let Some((folder, name)) = self.existing_folder(path)? else { return Ok(false) };
        is_occupied(&folder, name).map_err(reading)
    }

    /// The file that is the content of `path`.
    pub(crate) fn open_content(&self, path: &Path) -> Result<(OwnedFd, Stat)> {
        content_of(self.root.open(path, FILE))
    }

    /// The file that is the content of `path`, of this version if one is named, with what is known of it.
    pub(crate) fn open_version(&self, path: &Path, version: Option<&str>) -> Result<(OwnedFd, Stat)> {
        let (file, stat) = self.open_content(path)?;
        match content(&stat) {
            Info::Content { version: stored, .. } if version.is_some_and(|version| version != stored) => {
                Err(Error::new(ErrorKind::VersionMismatch, "the content was replaced"))
            }
            _ => Ok((file, stat)),
        }
    }

    pub(crate) fn get(&self, path: &Path, max: usize) -> Result<(Info, Bytes)> {
        let (file, stat) = self.open_content(path)?;
        let length = usize::try_from(size(&stat)).ok().filter(|length| *length <= max).ok_or_else(|| too_large(max))?;
        Ok((content(&stat), read_exactly(&file, 0, length)?))
    }

    pub(crate) fn open_reader(&self, path: &Path, range: ReadRange, version: Option<&str>) -> Result<(Info, Reader)> {
        let (file, stat) = self.open_version(path, version)?;
        let (info, size) = (content(&stat), size(&stat));
        if range.offset > size {
            return Err(Error::offset_invalid(size));
        }
        let end = range.length.map_or(size, |length| size.min(range.offset.saturating_add(length)));
        Ok((info, Reader { file, offset: range.offset, end }))
    }
}

impl Reader {
    /// The bytes, read piece by piece as they are asked for.
    pub(crate) fn stream(self, pool: Pool, permit: OwnedSemaphorePermit) -> ContentStream {
        Box::pin(futures::stream::try_unfold((self, pool, permit), |(mut reader, pool, permit)| async move {
            if reader.offset == reader.end {
                return Ok(None);
            }
            let (piece, reader) = pool.run(move |_| Ok((reader.next_piece()?, reader))).await?;
            Ok(Some((piece, (reader, pool, permit))))
        }))
    }

    fn next_piece(&mut self) -> Result<Bytes> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let piece = read_exactly(&self.file, self.offset, left.min(CHUNK_PREFERRED))?;
        self.offset += piece.len() as u64;
        Ok(piece)
    }
}

/// What was opened for reading, if it is content.
pub(crate) fn content_of(opened: io::Result<OwnedFd>) -> Result<(OwnedFd, Stat)> {
    let file = present(opened).map_err(reading)?.ok_or_else(not_found)?;
    let stat = fstat(&file).map_err(reading)?;
    match kind(&stat) {
        FileType::RegularFile => Ok((file, stat)),
        FileType::Directory => Err(not_found()),
        _ => Err(foreign()),
    }
}

fn read_exactly(file: impl AsFd, offset: u64, length: usize) -> Result<Bytes> {
    let piece = read_up_to(file, offset, length).map_err(reading)?;
    if piece.len() < length { Err(shortened()) } else { Ok(piece.into()) }
}

fn too_large(max: usize) -> Error {
    Error::new(ErrorKind::TooLarge, format!("the content is larger than {max} bytes"))
}
