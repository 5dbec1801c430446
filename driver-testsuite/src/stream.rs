//! [`Messages`]: an answer that comes as a stream, whose failure names its call and stands in the transcript.

use tonic::{Status, Streaming};

use crate::journal::Journal;

/// The messages of one stream. Dropping it resets the stream.
#[derive(Debug)]
pub struct Messages<T> {
    stream: Streaming<T>,
    journal: Journal,
    call: &'static str,
    arguments: String,
}

impl<T> Messages<T> {
    pub(crate) fn new(stream: Streaming<T>, journal: Journal, call: &'static str, arguments: String) -> Self {
        Messages { stream, journal, call, arguments }
    }

    /// The next message, and none at the end.
    pub async fn message(&mut self) -> Result<Option<T>, Status> {
        self.journal.stream(self.call, &self.arguments, self.stream.message().await)
    }
}
