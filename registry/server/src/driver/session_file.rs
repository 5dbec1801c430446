//! [`SessionFile`]: a write session as the file that the driver handed out, which this process writes itself.
//!
//! What is written survives the death of either process, so nothing is kept for sending it again and the driver is not
//! missed while it restarts. It writes at positions only, since the offset of an open file is shared.

use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{Advice, OFlags, fadvise, fdatasync, fstat};
use rustix::io::{Errno, pwrite, retry_on_intr};
use storagedriver_proto::Path;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::client::DriverClient;
use super::error::{DriverError, DriverErrorKind, Fault};
use super::local_file::flags_of;

/// The kernel is asked to begin writing to the disk in steps of this size, so that little is left to wait for at a flush.
const WRITEBACK: u64 = 8 << 20;

pub(crate) struct SessionFile {
    client: DriverClient,
    path: Path,
    file: Arc<OwnedFd>,
    /// Where the next byte goes.
    end: u64,
    /// The write under way, which whatever comes next waits for. Meanwhile the caller can hash or receive.
    writing: Option<JoinHandle<Result<(), Fault>>>,
    /// After an error the file lacks bytes: nothing may follow.
    ended: Option<DriverErrorKind>,
}

impl SessionFile {
    /// Takes what a driver handed out for the session at `path`, opened at `offset`, if it is what was promised.
    pub(super) fn believe(file: OwnedFd, client: &DriverClient, path: &Path, offset: u64) -> Result<Self, Fault> {
        let flags = flags_of(&file, path, offset)?;
        let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR);
        if !writes || flags.intersects(OFlags::APPEND | OFlags::PATH) {
            return Err(Fault::nonsense(format!("the descriptor of the session {path} is open as {flags:?}")));
        }
        let (client, path, file) = (client.clone(), path.clone(), Arc::new(file));
        Ok(SessionFile { client, path, file, end: offset, writing: None, ended: None })
    }

    pub(super) fn written(&self) -> u64 {
        self.end
    }

    pub(super) async fn write(&mut self, data: Bytes) -> Result<(), DriverError> {
        self.settle().await?;
        let (file, offset) = (Arc::clone(&self.file), self.end);
        self.end += data.len() as u64;
        self.writing = Some(spawn_blocking(move || write_all(&file, offset, &data)));
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> Result<u64, DriverError> {
        self.settle().await?;
        let there = self.check_there();
        self.settled(there)?;
        let file = Arc::clone(&self.file);
        let synced = spawn_blocking(move || fdatasync(&*file).map_err(failed)).await;
        if let Err(fault) = synced.unwrap_or_else(|problem| Err(broken_off(&problem))) {
            self.discard().await;
            self.settled(Err(fault))?;
        }
        Ok(self.end)
    }

    /// The file is closed before: the driver publishes none that somebody can write to. What is not on the disk then, it
    /// brings there.
    pub(super) async fn commit(mut self, target: &Path) -> Result<(), DriverError> {
        self.settle().await?;
        let SessionFile { client, path, file, end, .. } = self;
        drop(file);
        client.commit(&path, target, end).await
    }

    /// Waits for the write under way, whose failure is that of all that follows.
    async fn settle(&mut self) -> Result<(), DriverError> {
        if let Some(kind) = self.ended {
            return self.settled(Err(Fault::found(kind, "the write session has failed before")));
        }
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let written = writing.await.unwrap_or_else(|problem| Err(broken_off(&problem)));
        self.writing = None;
        self.settled(written)
    }

    fn settled(&mut self, outcome: Result<(), Fault>) -> Result<(), DriverError> {
        outcome.map_err(|fault| {
            self.ended = Some(fault.kind);
            fault.into_error("write", &self.path, false)
        })
    }

    /// A file that has lost its name is that of a session which somebody started over, or deleted.
    fn check_there(&self) -> Result<(), Fault> {
        let stat = fstat(&*self.file).map_err(failed)?;
        if stat.st_nlink == 0 {
            return Err(Fault::found(DriverErrorKind::Fenced, "the session was started over or deleted"));
        }
        if u64::try_from(stat.st_size) != Ok(self.end) {
            let sentence = format!("the file has {} bytes, where {} were written", stat.st_size, self.end);
            return Err(Fault::found(DriverErrorKind::Corrupt, sentence));
        }
        Ok(())
    }

    /// Ends a session whose file could not be synced: the kernel may have dropped bytes that it still shows, and would
    /// call the next sync a success.
    async fn discard(&self) {
        if let Err(error) = self.client.delete(&self.path).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(path = %self.path, error, "a session whose file could not be synced stays");
        }
    }
}

fn write_all(file: &OwnedFd, offset: u64, data: &[u8]) -> Result<(), Fault> {
    let (mut left, mut at) = (data, offset);
    while !left.is_empty() {
        match retry_on_intr(|| pwrite(file, left, at)).map_err(failed)? {
            0 => return Err(failed(Errno::IO)),
            written => (left, at) = (&left[written..], at + written as u64),
        }
    }
    begin_writeback(file, offset, at);
    Ok(())
}

fn begin_writeback(file: &OwnedFd, from: u64, to: u64) {
    let (from, to) = (from / WRITEBACK * WRITEBACK, to / WRITEBACK * WRITEBACK);
    if let Some(length) = NonZeroU64::new(to - from) {
        // Only an advice: pages that are not on the disk yet are written, and stay.
        let _ = fadvise(file, from, Some(length), Advice::DontNeed);
    }
}

/// What the driver would say of the same.
fn failed(errno: Errno) -> Fault {
    let kind = match errno {
        Errno::NOSPC | Errno::DQUOT => DriverErrorKind::NoSpace,
        Errno::FBIG => DriverErrorKind::TooLarge,
        _ => DriverErrorKind::Internal,
    };
    Fault::found(kind, format!("the file system says: {errno}"))
}

fn broken_off(problem: &JoinError) -> Fault {
    Fault::found(DriverErrorKind::Internal, problem.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn all_is_written_where_it_belongs() {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..WRITEBACK + 1000).map(|place| place as u8).collect();
        write_all(&file.try_clone().unwrap().into(), 7, &bytes).unwrap();
        let mut read = vec![0; bytes.len()];
        file.read_exact_at(&mut read, 7).unwrap();
        assert!(read == bytes && file.metadata().unwrap().len() == 7 + bytes.len() as u64);
    }

    #[test]
    fn a_full_disk_is_told_as_one() {
        let full: OwnedFd = File::options().write(true).open("/dev/full").unwrap().into();
        assert_eq!(write_all(&full, 0, b"bytes").unwrap_err().kind, DriverErrorKind::NoSpace);
    }
}
