//! What faults do in several steps where the contract wants one, or do again, or in part.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path as FilePath;
use std::sync::{Arc, LazyLock};
use std::thread::sleep;
use std::time::Duration;

use storagedriver_proto::Path;
use storagedriver_proto::limits::PAGE_MAX;
use storagedriver_proto::v1alpha1::Info;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::sabotage::WHILE;
use super::tree::{Found, info_of};
use super::{Store, Turn};
use crate::failure::{Result, fenced, not_found};
use crate::fault::Fault;

/// When a Move is made once more.
const AGAIN: Duration = Duration::from_millis(500);

/// How long a cancelled call keeps its place.
const KEPT: Duration = Duration::from_secs(8);

/// The places for calls, when there are few.
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(4)));

/// A call's place among those that are under way.
pub(crate) struct Place(Option<OwnedSemaphorePermit>);

impl Place {
    /// The call has come to its end.
    pub(crate) fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(permit) = self.0.take() {
            std::thread::spawn(move || {
                sleep(KEPT);
                drop(permit);
            });
        }
    }
}

/// The right to commit a session, among the threads of a process.
pub(super) struct Alone<'a> {
    store: &'a Store,
    path: &'a Path,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.store.sabotage.end_commit(self.path);
    }
}

impl Store {
    pub(crate) async fn place_among_calls(&self) -> Place {
        if !Fault::CancelledKeepsPlace.on() {
            return Place(None);
        }
        Place(Arc::clone(&PLACES).acquire_owned().await.ok())
    }

    /// Whoever commits what another one commits already is refused.
    pub(super) fn commit_alone<'a>(&'a self, path: &'a Path) -> Result<Option<Alone<'a>>> {
        if !Fault::CommitsRace.on() {
            return Ok(None);
        }
        if !self.sabotage.begin_commit(path) {
            return Err(fenced());
        }
        let alone = Alone { store: self, path };
        sleep(WHILE);
        Ok(Some(alone))
    }

    pub(crate) fn move_again(self: &Arc<Self>, from: Path, to: Path) {
        if Fault::MoveAgain.on() {
            let store = Arc::clone(self);
            std::thread::spawn(move || {
                sleep(AGAIN);
                store.rename(&from, &to)
            });
        }
    }

    /// Copies, and takes the source when others had their time.
    pub(super) fn move_in_two_steps(&self, turn: Turn<'_>, from: &FilePath, to: &FilePath) -> Result<Info> {
        fs::copy(from, to)?;
        drop(turn);
        sleep(WHILE);
        let _turn = self.turn()?;
        fs::remove_file(from).map_err(|_| not_found())?;
        self.prune(from, "content");
        Ok(info_of(&fs::symlink_metadata(to)?))
    }

    /// Makes the prefix, and puts the content when others had their time.
    pub(super) fn put_in_two_steps(&self, turn: Turn<'_>, content: &[u8], path: &Path) -> Result<Info> {
        let place = self.place(path);
        turn.make_way(&place)?;
        drop(turn);
        sleep(WHILE);
        let mut turn = self.turn()?;
        fs::write(&place, content)?;
        let file = File::open(&place)?;
        turn.stamp(&file)?;
        Ok(info_of(&file.metadata()?))
    }

    /// Whether there is something to delete, for who asks before the turn comes.
    pub(super) fn look_before_deleting(&self, path: &Path) -> Result<bool> {
        if !Fault::DeletesRace.on() {
            return Ok(false);
        }
        let there = {
            let _turn = self.turn()?;
            !matches!(self.at(path)?, Found::Nothing)
        };
        sleep(WHILE);
        Ok(there)
    }

    /// Whether that was all that is deleted of what is below `path`.
    pub(super) fn delete_some(&self, path: &Path) -> Result<bool> {
        let all = self.walk_all(path)?;
        let places: Vec<_> =
            all.iter().filter_map(|entry| Path::parse(&entry.path).ok()).map(|path| self.place(&path)).collect();
        if Fault::DeleteEmptiesFirst.on() {
            places.iter().try_for_each(|place| File::create(place).map(drop))?;
            sleep(4 * WHILE);
        }
        let doomed = match places.len() {
            _ if Fault::DeleteStops.on() => &places[1..],
            many if many > PAGE_MAX && Fault::DeletePage.on() => &places[..PAGE_MAX],
            _ => return Ok(false),
        };
        doomed.iter().try_for_each(fs::remove_file)?;
        Ok(true)
    }

    /// Where a session will be published, for the next process.
    pub(super) fn note_hint(&self, path: &Path, hint: &Path) -> Result<()> {
        if Fault::SessionsPublished.on() {
            let mut hints = File::options().append(true).create(true).open(self.root.join("hints"))?;
            writeln!(hints, "{path} {hint}")?;
        }
        Ok(())
    }

    /// Publishes the sessions whose targets the last process noted.
    pub(super) fn publish_hinted(&self) -> Result<()> {
        let hints = fs::read_to_string(self.root.join("hints")).unwrap_or_default();
        for (path, target) in hints.lines().filter_map(|line| line.split_once(' ')) {
            if let (Ok(path), Ok(target)) = (Path::parse(path), Path::parse(target))
                && let Some(session) = self.session(&path)?
            {
                let place = self.place(&target);
                place.parent().map_or(Ok(()), fs::create_dir_all)?;
                fs::rename(session.place, place)?;
            }
        }
        Ok(())
    }
}

impl Turn<'_> {
    /// Ends some of the sessions at `path` and, with `recursive`, below it: those of this process, or for this process.
    pub(super) fn end_some_sessions(&mut self, path: &Path, recursive: bool) -> Result<()> {
        let is_meant = |staged: &Path| staged == path || (recursive && staged.is_below(path));
        if Fault::DeletedSessionsReturn.on() {
            self.store.sabotage.end(path, recursive);
        } else {
            let own: Vec<Path> = self.inner.staged.keys().filter(|staged| is_meant(staged)).cloned().collect();
            own.iter().try_for_each(|staged| self.store.remove_sessions(staged, false))?;
        }
        self.inner.staged.retain(|staged, _| !is_meant(staged));
        Ok(())
    }
}
