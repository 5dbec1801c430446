//! The calls on content as a whole.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path as FilePath;

use storagedriver_proto::Path;
use storagedriver_proto::limits::INLINE_MAX;
use storagedriver_proto::v1alpha1::Info;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use super::tree::{Found, entries, info_of, prefix_info};
use super::{Store, Turn};
use crate::failure::{Result, failure, not_found};
use crate::fault::Fault;

impl Store {
    pub(crate) fn stat(&self, path: &Path) -> Result<Info> {
        let _turn = self.turn()?;
        match self.at(path)? {
            Found::Content(_, metadata) => Ok(info_of(&metadata)),
            Found::Prefix if Fault::StatPrefixNotFound.on() => Err(not_found()),
            Found::Prefix => Ok(prefix_info()),
            Found::Nothing if Fault::PrefixOfName.on() && self.begins_a_name(path)? => Ok(prefix_info()),
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
        if let Some(own) = self.sabotage.own(path) {
            return Ok(own);
        }
        let opened = self.open_content(path);
        if Fault::GetPrefixEmpty.on() && opened.is_err() && self.stat(path)?.is_prefix {
            return Ok((prefix_info(), Vec::new()));
        }
        let (mut file, mut info) = opened?;
        if Fault::GetOtherVersion.on() {
            info.version.push('g');
        }
        let limit = if Fault::GetLimitLow.on() { INLINE_MAX - 1 } else { INLINE_MAX };
        if info.size > limit as u64 && Fault::GetTooLargeCut.on() {
            let mut content = vec![0; limit];
            file.read_exact(&mut content)?;
            return Ok((Info { size: limit as u64, ..info }, content));
        }
        if info.size > limit as u64 && !Fault::GetTooLargeGiven.on() {
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
        if if_absent && Fault::IfAbsentRaces.on() {
            self.ask_first(path)?;
            return self.put(path, content, false);
        }
        let mut turn = self.turn()?;
        let (outcome, lost) = match self.check_target(path, if_absent) {
            Err(lost) if if_absent && Fault::IfAbsentLoserWrites.on() => (Ok(()), Err(lost)),
            outcome => (outcome, Ok(())),
        };
        outcome?;
        self.check_space(content.len())?;
        self.check_put(path, content)?;
        let temporary = self.root.join("temporary");
        fs::write(&temporary, content)?;
        if Fault::PutKeepsTail.on() {
            self.add_old_tail(path, &temporary, content.len())?;
        }
        if Fault::PutGrows.on() {
            return self.grow(turn, content, path);
        }
        if Fault::PutLosesWay.on() {
            return self.put_in_two_steps(turn, content, path);
        }
        let mut info = turn.publish(&temporary, path)?;
        self.sabotage.remember_put(path, &info, content);
        if Fault::PutOtherVersion.on() {
            info.version.push('p');
        }
        lost.map(|()| info)
    }

    pub(crate) fn rename(&self, source: &Path, target: &Path) -> Result<Info> {
        let mut turn = self.turn()?;
        if Fault::MoveTakesSession.on()
            && let Some(session) = self.session(source)?
        {
            return turn.publish(&session.place, target);
        }
        let Found::Content(from, metadata) = self.at(source)? else { return self.move_nothing(source, target) };
        if source == target {
            if Fault::MoveOntoItselfDeletes.on() {
                fs::remove_file(&from)?;
            }
            return Ok(info_of(&metadata));
        }
        self.check_target(target, false)?;
        let to = self.place(target);
        turn.make_way(&to)?;
        self.sabotage.forget_put();
        if Fault::MoveGap.on() {
            return self.move_with_gap(turn, &from, target);
        }
        if Fault::MoveIntoTarget.on() {
            return self.move_into(&from, &to);
        }
        if Fault::MoveGrows.on() {
            let content = fs::read(&from)?;
            let moved = self.grow(turn, &content, target)?;
            fs::remove_file(&from)?;
            return Ok(moved);
        }
        if Fault::MovesRace.on() {
            return self.move_in_two_steps(turn, &from, &to);
        }
        if Fault::MoveKeepsSource.on() {
            fs::copy(&from, &to)?;
            return Ok(info_of(&fs::symlink_metadata(to)?));
        }
        fs::rename(&from, &to)?;
        self.settle_folders(&to)?;
        self.settle_folders(&from)?;
        self.prune(&from, "content");
        Ok(info_of(&fs::symlink_metadata(to)?))
    }

    pub(crate) fn delete(&self, path: &Path, recursive: bool) -> Result<()> {
        let was_there = self.look_before_deleting(path)?;
        let mut turn = self.turn()?;
        self.sabotage.forget_put();
        self.delete_more(path)?;
        match self.at(path)? {
            Found::Nothing if Fault::DeleteNothingFails.on() || was_there => return Err(not_found()),
            Found::Nothing => {}
            Found::Content(place, _) => {
                if Fault::DeleteEmpties.on() {
                    File::create(&place)?;
                }
                match fs::remove_file(&place) {
                    Err(_) if Fault::DeleteRefusedOk.on() => return Ok(()),
                    removed => removed?,
                }
                self.settle_folders(&place)?;
                self.prune(&place, "content");
            }
            Found::Prefix if !recursive && Fault::DeletePrefixNothing.on() => {}
            Found::Prefix if recursive && self.delete_some(path)? => {}
            Found::Prefix if recursive || Fault::DeletePrefixAll.on() => {
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

/// What faults do to whole contents.
impl Store {
    /// Whether `path` begins the name of something beside it.
    fn begins_a_name(&self, path: &Path) -> Result<bool> {
        let place = self.place(path);
        let (Some(folder), Some(name)) = (place.parent(), path.name()) else { return Ok(false) };
        Ok(entries(folder)?.iter().any(|(other, _)| other.starts_with(name)))
    }

    fn check_put(&self, path: &Path, content: &[u8]) -> Result<()> {
        if Fault::PutEmptyRefused.on() && content.is_empty() {
            return Err(failure(Reason::RequestInvalid, "there is no content"));
        }
        let is_there = self.place(path).parent().is_some_and(FilePath::is_dir);
        if Fault::PutNeedsPrefix.on() && !is_there && path.components().count() > 4 {
            return Err(failure(Reason::NotFound, "there is no folder for it"));
        }
        Ok(())
    }

    /// Adds what was longer in the old content.
    fn add_old_tail(&self, path: &Path, temporary: &FilePath, length: usize) -> Result<()> {
        let old = fs::read(self.place(path)).unwrap_or_default();
        let mut file = File::options().append(true).open(temporary)?;
        Ok(file.write_all(old.get(length..).unwrap_or_default())?)
    }

    /// The source of a move is no content.
    fn move_nothing(&self, source: &Path, target: &Path) -> Result<Info> {
        let (from, to) = (self.place(source), self.place(target));
        if Fault::MoveNothingOk.on()
            && let Found::Content(_, metadata) = self.at(target)?
        {
            return Ok(info_of(&metadata));
        }
        if Fault::MoveNothingTruncates.on() && to.is_file() {
            File::create(&to)?;
        }
        if Fault::MoveTakesPrefix.on() && from.is_dir() && !to.exists() {
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::rename(&from, &to)?;
            return Ok(prefix_info());
        }
        Err(not_found())
    }

    /// Deletes what was not named.
    fn delete_more(&self, path: &Path) -> Result<()> {
        let place = self.place(path);
        let (Some(folder), Some(name)) = (place.parent(), path.name()) else { return Ok(()) };
        if Fault::DeleteTakesNamesakes.on() {
            for (_, entry) in entries(folder)?.into_iter().filter(|(other, _)| other != name && other.starts_with(name))
            {
                if entry.file_type()?.is_file() {
                    fs::remove_file(entry.path())?
                } else {
                    fs::remove_dir_all(entry.path())?
                }
            }
        }
        Ok(())
    }
}

impl Turn<'_> {
    /// Ends the session at `path` and, with `recursive`, those below it.
    fn end_sessions(&mut self, path: &Path, recursive: bool) -> Result<()> {
        if Fault::FileKeepsDeleted.on()
            && let Some(session) = self.store.session(path)?
            && self.is_handed_out(path, &session)?
        {
            return Ok(());
        }
        if Fault::DeletedSessionsReturn.on() || Fault::DeleteOfProcess.on() {
            return self.end_some_sessions(path, recursive);
        }
        if Fault::DeleteKeepsSession.on() || (recursive && Fault::DeleteKeepsSessionsBelow.on()) {
            return Ok(());
        }
        if Fault::DeleteKeepsWriters.on() {
            return self.store.remove_sessions(path, recursive);
        }
        self.inner.staged.retain(|staged, _| !(staged == path || (recursive && staged.is_below(path))));
        self.store.remove_sessions(path, recursive)
    }
}
