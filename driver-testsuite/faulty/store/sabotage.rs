//! What faults do that is more than a wrong turn: content lost with the process, torn writes, stale answers, held locks.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use storagedriver_proto::Path;
use storagedriver_proto::v1alpha1::Info;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard, Semaphore};

use super::listing::Listed;
use super::tree::{Found, entries, info_of};
use super::{Store, Turn};
use crate::failure::{Result, failure};
use crate::fault::Fault;

/// How long something wrong can be seen.
pub(super) const WHILE: Duration = Duration::from_millis(5);

/// How long a stale listing is answered.
const STALE: Duration = Duration::from_secs(1);

/// How many reads are many.
const MANY: usize = 16;

/// What faults remember.
#[derive(Default)]
pub(super) struct Sabotage {
    readers: Arc<Turns<()>>,
    most_reads: Mutex<usize>,
    listed: Mutex<HashMap<String, (Instant, Listed)>>,
    put: Mutex<HashMap<Path, (Info, Vec<u8>)>>,
    /// How many names came before, by the folder and the last of them.
    positions: Mutex<HashMap<(Path, String), usize>>,
    /// Sessions that this process takes as deleted, each with whether those below it are too.
    ended: Mutex<Vec<(Path, bool)>>,
    committing: Mutex<HashSet<Path>>,
    buffer: Mutex<Vec<u8>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sabotage {
    pub(super) fn has_many_reads(&self, left: &Semaphore) -> bool {
        let mut most = locked(&self.most_reads);
        *most = left.available_permits().max(*most);
        *most - left.available_permits() >= MANY
    }

    pub(super) fn stale_listing(&self, key: &str) -> Option<Listed> {
        let listed = locked(&self.listed);
        let (when, listed) = listed.get(key).filter(|_| Fault::ListStale.on())?;
        (when.elapsed() < STALE).then(|| listed.clone())
    }

    pub(super) fn remember_listing(&self, key: String, page: &Listed) {
        if Fault::ListStale.on() {
            locked(&self.listed).entry(key).insert_entry((Instant::now(), page.clone()));
        }
    }

    /// What this process put at `path`, whatever another did there.
    pub(super) fn own(&self, path: &Path) -> Option<(Info, Vec<u8>)> {
        locked(&self.put).get(path).filter(|_| Fault::SharedStale.on()).cloned()
    }

    pub(super) fn remember_put(&self, path: &Path, info: &Info, content: &[u8]) {
        if Fault::SharedStale.on() || Fault::IfAbsentOfProcess.on() {
            locked(&self.put).insert(path.clone(), (info.clone(), content.to_vec()));
        }
    }

    pub(super) fn forget_put(&self) {
        locked(&self.put).clear();
    }

    pub(super) fn has_put(&self, path: &Path) -> bool {
        locked(&self.put).contains_key(path)
    }

    /// Where a page after `last` begins, when positions are what counts.
    pub(super) fn position(&self, path: &Path, last: &str) -> Option<usize> {
        let known = locked(&self.positions).get(&(path.clone(), last.to_owned())).copied();
        known.filter(|_| Fault::ListByPosition.on())
    }

    pub(super) fn remember_position(&self, path: &Path, passed: usize, (page, _): &Listed) {
        if let (true, Some(last)) = (Fault::ListByPosition.on(), page.last()) {
            locked(&self.positions).insert((path.clone(), last.name.clone()), passed + page.len());
        }
    }

    pub(super) fn end(&self, path: &Path, recursive: bool) {
        locked(&self.ended).push((path.clone(), recursive));
    }

    /// A session at `path` is there again.
    pub(super) fn begin(&self, path: &Path) {
        locked(&self.ended).retain(|(ended, _)| ended != path && !path.is_below(ended));
    }

    pub(super) fn is_ended(&self, path: &Path) -> bool {
        locked(&self.ended).iter().any(|(ended, recursive)| ended == path || (*recursive && path.is_below(ended)))
    }

    /// Whether nobody else commits the session at `path` now.
    pub(super) fn begin_commit(&self, path: &Path) -> bool {
        locked(&self.committing).insert(path.clone())
    }

    pub(super) fn end_commit(&self, path: &Path) {
        locked(&self.committing).remove(path);
    }

    /// The bytes, after they went through a buffer; what comes out may be what another stream has put in.
    pub(super) fn buffered<'a>(&self, data: &'a [u8]) -> Cow<'a, [u8]> {
        if !Fault::MessagesMixed.on() {
            return Cow::Borrowed(data);
        }
        *locked(&self.buffer) = data.to_vec();
        sleep(WHILE);
        Cow::Owned(locked(&self.buffer).clone())
    }
}

fn count_files(folder: &FilePath) -> Result<u32> {
    let mut count = 0;
    for (_, entry) in entries(folder)? {
        count += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

impl Store {
    /// Waits until nobody reads, when readers hold the lock.
    pub(crate) async fn wait_for_readers(&self) {
        if Fault::ReadersBlock.on() {
            drop(self.sabotage.readers.lock().await);
        }
    }

    /// The lock that readers hold, when they do.
    pub(crate) async fn block_others(&self) -> Option<OwnedMutexGuard<()>> {
        if Fault::ReadersBlock.on() { Some(Arc::clone(&self.sabotage.readers).lock_owned().await) } else { None }
    }

    /// Loses at the start what a process of a faulty driver would have lost at its end.
    pub(super) fn forget(&self) -> Result<()> {
        let lost = self.root.join("lost");
        let kept = |name: &str| -> Result<()> {
            fs::remove_dir_all(self.root.join(name))?;
            Ok(fs::create_dir(self.root.join(name))?)
        };
        if Fault::StoreLost.on() {
            kept("content")?;
        }
        if Fault::SessionsLost.on() {
            kept("sessions")?;
        }
        if Fault::PersistedLost.on() {
            self.cut_sessions(&self.root.join("sessions"))?;
        }
        if Fault::SessionsSlowStart.on() {
            sleep(count_files(&self.root.join("sessions"))? * 10 * WHILE);
        }
        self.publish_hinted()?;
        for line in fs::read_to_string(&lost).unwrap_or_default().lines() {
            if let Ok(path) = Path::parse(line)
                && let Found::Content(place, _) = self.at(&path)?
            {
                fs::remove_file(&place)?;
                self.prune(&place, "content");
            }
        }
        fs::write(lost, "").map_err(Into::into)
    }

    fn cut_sessions(&self, folder: &FilePath) -> Result<()> {
        for (_, entry) in entries(folder)? {
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                self.cut_sessions(&entry.path())?;
            } else {
                let file = File::options().write(true).open(entry.path())?;
                file.set_len(self.rounded(metadata.len() / 2))?;
            }
        }
        Ok(())
    }

    /// Content that the next process will not find.
    pub(super) fn will_lose(&self, path: &Path) -> Result<()> {
        let mut lost = File::options().append(true).create(true).open(self.root.join("lost"))?;
        Ok(writeln!(lost, "{path}")?)
    }

    /// Puts content that will be there a little later.
    pub(crate) fn put_later(self: &Arc<Self>, path: &Path, content: Vec<u8>) -> Info {
        let (store, path) = (Arc::clone(self), path.clone());
        let modified = Some(std::time::SystemTime::now().into());
        let info = Info { size: content.len() as u64, modified, version: "later".to_owned(), is_prefix: false };
        std::thread::spawn(move || {
            sleep(10 * WHILE);
            store.put(&path, &content, false)
        });
        info
    }

    /// Writes content where it is seen while it grows.
    pub(super) fn grow(&self, turn: Turn<'_>, content: &[u8], path: &Path) -> Result<Info> {
        let place = self.place(path);
        turn.make_way(&place)?;
        drop(turn);
        let mut file = File::create(&place)?;
        // The longer the content, the longer it can be seen, also where other processes are in the way.
        let growing = WHILE + Duration::from_micros(content.len() as u64 / 10);
        for half in content.chunks(content.len().div_ceil(2).max(1)) {
            sleep(growing);
            file.write_all(half)?;
        }
        let mut turn = self.turn()?;
        turn.stamp(&file)?;
        Ok(info_of(&file.metadata()?))
    }

    /// Moves with a time between in which the content is nowhere.
    pub(super) fn move_with_gap(&self, turn: Turn<'_>, from: &FilePath, to: &Path) -> Result<Info> {
        let content = fs::read(from)?;
        fs::remove_file(from)?;
        drop(turn);
        sleep(4 * WHILE);
        self.put(to, &content, false)
    }

    /// Asks first and puts then, with time for others between.
    pub(super) fn ask_first(&self, path: &Path) -> Result<()> {
        {
            let _turn = self.turn()?;
            self.check_target(path, true)?;
        }
        sleep(WHILE);
        Ok(())
    }

    /// Publishes a session as it is.
    pub(crate) fn publish_all(&self, path: &Path, target: &Path) -> Result<Info> {
        let size = self.session(path)?.map(|session| session.size);
        self.commit(path, target, size.unwrap_or_default(), false)
    }

    /// Refuses a walk that others would take.
    pub(crate) fn check_walk(&self, base: &Path, after: Option<&Path>) -> Result<()> {
        let is_missing = |path: &Path| matches!(self.at(path), Ok(Found::Nothing));
        if Fault::WalkOfNothingFails.on() && !base.is_root() && is_missing(base) {
            return Err(failure(Reason::NotFound, "nothing is there"));
        }
        if Fault::WalkStartMustExist.on() && after.is_some_and(is_missing) {
            return Err(failure(Reason::NotFound, "there is nothing to start after"));
        }
        Ok(())
    }
}
