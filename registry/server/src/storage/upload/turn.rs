//! [`Turn`]: one writer of an upload at a time, among the replicas of a store.
//!
//! Where several replicas serve a store, a claim within one process says nothing about the others, and the driver's
//! fence does not reach a hash state or a commit that an overtaken writer is about to send. Then a saved hash state might
//! belong to other bytes than those in the session, and content with a wrong digest might get to the path of a blob.
//!
//! So each request marks its turn in the store, then looks for the marks of others, and takes its mark away when it has
//! ended in order. Of two requests at once at least one sees the other's mark; it goes on, but its own mark stays for
//! good. Whoever closes an upload with a mark that is not its own reads the content again before it believes the digest.
//! An upload that somebody is closing or purging is not touched by others at all.
//!
//! A request that looked before another had saved its bytes may open the session after, and drop them. So bytes are not
//! acknowledged while a mark is there that is young enough for that.
//!
//! A request whose store failed leaves its mark too, since something of it may still be under way: whoever closes the
//! upload reads it again. A closing that failed first keeps all others off for as long as a call may outlive its end.
//!
//! No clock but the store's is asked: a replica that dies leaves its mark, which costs a reading; when it dies while
//! closing, the upload has to be started anew.

use std::error::Error;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::claim::Claim;
use super::progress::{Progress, Upload};
use super::writer::UploadWriter;
use crate::driver::DriverClient;
use crate::storage::layout::{TurnKind, UploadFact};
use crate::storage::{StorageError, link};

/// How long a driver may go on with a call that was given up, as the protocol says.
const OUTLIVES: Duration = Duration::from_secs(10);
/// How long a request may take from its look at an upload to opening the session.
const OVERTAKES: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How often a closing that failed is to be given up.
const ROUNDS: u32 = 360;

pub(super) struct Turn {
    driver: DriverClient,
    upload: Upload,
    /// `None` over a store with one writer, where the claim is enough.
    mark: Option<UploadFact>,
    alone: bool,
}

impl Turn {
    /// Marks a turn without looking for others.
    pub(super) async fn mark(driver: &DriverClient, upload: &Upload, kind: TurnKind) -> Result<Self, StorageError> {
        let mark = (!driver.is_sole_writer()).then(|| UploadFact::Turn(kind, Uuid::now_v7()));
        if let Some(mark) = mark {
            driver.put(&upload.path(mark), Bytes::new()).await?;
        }
        Ok(Turn { driver: driver.clone(), upload: upload.clone(), mark, alone: true })
    }

    /// Takes a turn, and tells how far the upload is.
    pub(super) async fn begin(
        driver: &DriverClient,
        upload: &Upload,
        kind: TurnKind,
    ) -> Result<(Self, Progress), StorageError> {
        let mut turn = Self::mark(driver, upload, kind).await?;
        match turn.look_around().await {
            Ok(progress) => Ok((turn, progress)),
            Err(error) => {
                turn.end().await;
                Err(error)
            }
        }
    }

    async fn look_around(&mut self) -> Result<Progress, StorageError> {
        let progress = Progress::read(&self.driver, &self.upload).await?;
        self.meet(&progress.turns)?;
        if self.mark.is_some() {
            self.look_again().await?;
        }
        Ok(progress)
    }

    /// How far the upload is now, if nobody else has a turn.
    pub(super) async fn progress_alone(&self) -> Result<Option<Progress>, StorageError> {
        let progress = Progress::read(&self.driver, &self.upload).await?;
        let alone = self.alone && progress.turns.iter().all(|turn| Some(*turn) == self.mark);
        Ok(alone.then_some(progress))
    }

    fn meet(&mut self, turns: &[UploadFact]) -> Result<(), StorageError> {
        let others: Vec<_> = turns.iter().filter(|turn| Some(**turn) != self.mark).collect();
        if others.iter().any(|turn| matches!(turn, UploadFact::Turn(TurnKind::Closing | TurnKind::Purging, _))) {
            return Err(StorageError::UploadConflict(self.upload.id));
        }
        self.alone = others.is_empty();
        Ok(())
    }

    /// A walk is not a moment: a purge that ended during it may have taken its mark away before the walk came there. It
    /// takes `startedat` away first, so where that is still there the mark was to be seen.
    async fn look_again(&self) -> Result<(), StorageError> {
        let started = link::exists(&self.driver, &self.upload.path(UploadFact::Started)).await?;
        if started { Ok(()) } else { Err(StorageError::UploadUnknown(self.upload.id)) }
    }

    pub(super) fn upload(&self) -> &Upload {
        &self.upload
    }

    /// Whether the hash states can be believed.
    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Ends the turn of a closing that the store failed, once nothing of it can be under way: its mark becomes that of a
    /// request that added bytes. Until then `claim` lets later requests of this process wait.
    pub(super) fn give_up(self, claim: Claim) {
        let Some(mark) = self.mark else { return };
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                sleep(OUTLIVES).await;
                match self.replace(mark).await {
                    Ok(()) => break,
                    Err(error) => log(&self.upload, &error, "an upload stays closed for others"),
                }
            }
            drop(claim);
        });
    }

    /// An upload that is gone meanwhile is not to be brought back by a mark.
    async fn replace(&self, mark: UploadFact) -> Result<(), StorageError> {
        if !link::exists(&self.driver, &self.upload.path(mark)).await? {
            return Ok(());
        }
        let stays = UploadFact::Turn(TurnKind::Appending, Uuid::now_v7());
        self.driver.put(&self.upload.path(stays), Bytes::new()).await?;
        Ok(self.driver.delete(&self.upload.path(mark)).await?)
    }

    /// Waits until no other request can drop the bytes that were just saved, and they may be acknowledged.
    ///
    /// A request that looked before they were saved opens the session at where it was then. Its mark is seen here, unless
    /// it looks only now and sees what was saved. A mark that is older has opened the session before, or never will.
    pub(super) async fn settle(&self, writer: &mut UploadWriter) -> Result<(), StorageError> {
        if self.mark.is_none() {
            return Ok(());
        }
        let begun = Instant::now();
        loop {
            let facts = self.upload.facts(&self.driver).await?;
            let time_of = |fact| facts.iter().find(|(known, _)| *known == fact).map(|(_, time)| *time);
            time_of(UploadFact::Started).ok_or(StorageError::UploadUnknown(self.upload.id))?;
            match time_of(writer.state()) {
                Some(saved) if begun.elapsed() > OVERTAKES || !self.is_met(&facts, saved) => return Ok(()),
                Some(_) => {}
                // A request that was overtaken has taken it away, as its own.
                None => writer.save_state().await?,
            }
            if let Err(overtaken) = writer.check_newest().await {
                return self.give_way(writer, overtaken).await;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether another request marked its turn so late that it may not have opened the session by the time `saved`.
    fn is_met(&self, facts: &[(UploadFact, SystemTime)], saved: SystemTime) -> bool {
        let is_late = |fact, marked| {
            matches!(fact, UploadFact::Turn(..)) && Some(fact) != self.mark && marked + OVERTAKES > saved
        };
        facts.iter().any(|(fact, marked)| is_late(*fact, *marked))
    }

    /// Another request opened the session later. If it dropped what was saved here, that is not to be found any more.
    async fn give_way(&self, writer: &UploadWriter, overtaken: StorageError) -> Result<(), StorageError> {
        if writer.is_dropped().await? {
            self.driver.delete(&self.upload.path(writer.state())).await?;
        }
        Err(overtaken)
    }

    /// Ends the turn of a request after which nothing of it is under way.
    pub(super) async fn end(self) {
        let Some(mark) = self.mark.filter(|_| self.alone) else { return };
        if let Err(error) = self.driver.delete(&self.upload.path(mark)).await {
            log(&self.upload, &error, "an upload will have to be read again");
        }
    }
}

fn log(upload: &Upload, error: &(dyn Error + 'static), what: &str) {
    tracing::warn!(upload = %upload.id, error, "{what}");
}
