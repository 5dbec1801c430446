//! The calls on content as a whole.

use std::fs::{self, File};
use std::io::Read as _;

use storagedriver_proto::Path;
use storagedriver_proto::limits::INLINE_MAX;
use storagedriver_proto::v1alpha1::Info;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use super::tree::{Found, info_of, prefix_info};
use super::{Store, Turn};
use crate::failure::{Result, failure, not_found};

impl Store {
    pub(crate) fn stat(&self, path: &Path) -> Result<Info> {
        let _turn = self.turn()?;
        match self.at(path)? {
            Found::Content(_, metadata) => Ok(info_of(&metadata)),
            Found::Prefix => Ok(prefix_info()),
            Found::Nothing => Err(not_found()),
        }
    }

    /// There is content at `path`.
    pub(crate) fn content(&self, path: &Path) -> Result<Info> {
        self.stat(path).and_then(|info| if info.is_prefix { Err(not_found()) } else { Ok(info) })
    }

    /// The content at `path` as it is now, whatever becomes of the path.
    pub(crate) fn open_content(&self, path: &Path) -> Result<(File, Info)> {
        let _turn = self.turn()?;
        let Found::Content(place, _) = self.at(path)? else { return Err(not_found()) };
        let file = File::open(place)?;
        let info = info_of(&file.metadata()?);
        Ok((file, info))
    }

    pub(crate) fn get(&self, path: &Path) -> Result<(Info, Vec<u8>)> {
        let (mut file, info) = self.open_content(path)?;
        if info.size > INLINE_MAX as u64 {
            return Err(failure(Reason::TooLarge, format!("Get gives {INLINE_MAX} bytes")));
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        if content.len() as u64 != info.size {
            return Err(failure(Reason::Corrupt, "the content is shorter than it was"));
        }
        Ok((info, content))
    }

    pub(crate) fn put(&self, path: &Path, content: &[u8], if_absent: bool) -> Result<Info> {
        let mut turn = self.turn()?;
        self.check_target(path, if_absent)?;
        self.check_space(content.len())?;
        let temporary = self.root.join("temporary");
        fs::write(&temporary, content)?;
        turn.publish(&temporary, path)
    }

    pub(crate) fn rename(&self, source: &Path, target: &Path) -> Result<Info> {
        let turn = self.turn()?;
        let Found::Content(from, metadata) = self.at(source)? else { return Err(not_found()) };
        if source == target {
            return Ok(info_of(&metadata));
        }
        self.check_target(target, false)?;
        let to = self.place(target);
        turn.make_way(&to)?;
        fs::rename(&from, &to)?;
        self.settle_folders(&to)?;
        self.settle_folders(&from)?;
        self.prune(&from, "content");
        Ok(info_of(&fs::symlink_metadata(to)?))
    }

    pub(crate) fn delete(&self, path: &Path, recursive: bool) -> Result<()> {
        let mut turn = self.turn()?;
        match self.at(path)? {
            Found::Nothing => {}
            Found::Content(place, _) => {
                fs::remove_file(&place)?;
                self.settle_folders(&place)?;
                self.prune(&place, "content");
            }
            Found::Prefix if recursive => {
                let place = self.place(path);
                fs::remove_dir_all(&place)?;
                self.settle_folders(&place)?;
                self.prune(&place, "content");
            }
            Found::Prefix => return Err(failure(Reason::PathConflict, "content is below the path")),
        }
        turn.end_sessions(path, recursive)
    }
}

impl Turn<'_> {
    /// Ends the session at `path` and, with `recursive`, those below it.
    fn end_sessions(&mut self, path: &Path, recursive: bool) -> Result<()> {
        self.inner.staged.retain(|staged, _| !(staged == path || (recursive && staged.is_below(path))));
        self.store.remove_sessions(path, recursive)
    }
}
