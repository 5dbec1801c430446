//! [`WriteSession`]: content being written, in whichever way costs least. What a way needs stands in its own module.

use bytes::Bytes;
use storagedriver_proto::Path;

use super::client::DriverClient;
use super::error::DriverError;
use super::session_file::SessionFile;
use super::session_stream::SessionStream;

/// Dropping it ends nothing: the session can be opened again at any offset up to the last flushed one.
pub(crate) enum WriteSession {
    /// Its bytes go to the driver.
    Stream(Box<SessionStream>),
    /// Its bytes go into a file that the driver handed out.
    File(SessionFile),
}

impl DriverClient {
    /// Opens the write session `staging`: with offset 0 it starts over, else what lies beyond the offset is dropped.
    /// Every older writer of the session is fenced. `target` is where commit will publish, when that is known.
    pub(crate) async fn open_session(
        &self,
        staging: &Path,
        offset: u64,
        target: Option<&Path>,
    ) -> Result<WriteSession, DriverError> {
        if let Some(file) = self.open_session_file(staging, offset, target).await? {
            return Ok(WriteSession::File(file));
        }
        let stream = self.open_session_stream(staging, offset, target).await?;
        Ok(WriteSession::Stream(Box::new(stream)))
    }
}

impl WriteSession {
    /// Where the next byte goes.
    pub(crate) fn written(&self) -> u64 {
        match self {
            WriteSession::Stream(stream) => stream.written(),
            WriteSession::File(file) => file.written(),
        }
    }

    /// Appends `data`. Waits while the store takes no more. A failure may be told by the next call only.
    pub(crate) async fn write(&mut self, data: Bytes) -> Result<(), DriverError> {
        match self {
            WriteSession::Stream(stream) => stream.write(data).await,
            WriteSession::File(file) => file.write(data).await,
        }
    }

    /// Has everything written persisted, and tells the offset up to which it is: all of it, rounded down to the
    /// granularity of the driver.
    pub(crate) async fn flush(&mut self) -> Result<u64, DriverError> {
        match self {
            WriteSession::Stream(stream) => stream.flush().await,
            WriteSession::File(file) => file.flush().await,
        }
    }

    /// Publishes everything written at `target` in one step, and ends the session.
    pub(crate) async fn commit(self, target: &Path) -> Result<(), DriverError> {
        match self {
            WriteSession::Stream(stream) => stream.commit(target).await,
            WriteSession::File(file) => file.commit(target).await,
        }
    }
}
