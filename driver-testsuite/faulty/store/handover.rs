//! Content as an open file. Without faults no file of content is ever written to.

use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::path::Path as FilePath;
use std::thread::sleep;
use std::time::Duration;

use storagedriver_proto::Path;
use storagedriver_proto::v1alpha1::Info;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use super::Store;
use super::tree::{Found, info_of, prefix_info};
use crate::failure::{Result, failure};
use crate::fault::Fault;

/// How long something can happen between two steps that should be one.
const WHILE: Duration = Duration::from_millis(2);

/// Where a fault copies what it hands over.
const SCRATCH: &str = "handed";

impl Store {
    /// The content at `path` as a file of its own, opened for reading alone.
    pub(crate) fn hand_over(&self, path: &Path) -> Result<(File, Info)> {
        if Fault::DescriptorOfStagingFails.on() && self.session(path)?.is_some() {
            return Err(failure(Reason::Internal, "something is staged there"));
        }
        if Fault::DescriptorOfPrefix.on() && matches!(self.at(path)?, Found::Prefix) {
            return Ok((File::open(self.place(path))?, prefix_info()));
        }
        let (file, info) = self.open_content(path)?;
        if Fault::DescriptorInfoLate.on() {
            sleep(WHILE);
            return Ok((file, self.content(path)?));
        }
        if Fault::DescriptorWritable.on() {
            return Ok((File::options().read(true).write(true).open(self.place(path))?, info));
        }
        if Fault::DescriptorOfScratch.on() {
            return Ok((self.copied(&file)?, info));
        }
        Ok((file, info))
    }

    /// A copy that the next one overwrites.
    fn copied(&self, file: &File) -> Result<File> {
        let place = self.root.join(SCRATCH);
        let mut scratch = File::create(&place)?;
        std::io::copy(&mut &*file, &mut scratch)?;
        Ok(File::open(place)?)
    }

    /// Empties what an earlier process handed over.
    pub(super) fn empty_scratch(&self) -> Result<()> {
        if Fault::DescriptorOfScratch.on() {
            File::create(self.root.join(SCRATCH))?;
        }
        Ok(())
    }

    /// Moves content into the file that is there.
    pub(super) fn move_into(&self, from: &FilePath, to: &FilePath) -> Result<Info> {
        let mut target = File::options().write(true).create(true).truncate(false).open(to)?;
        target.rewind()?;
        target.write_all(&fs::read(from)?)?;
        target.set_len(fs::metadata(from)?.len())?;
        fs::remove_file(from)?;
        Ok(info_of(&target.metadata()?))
    }
}
