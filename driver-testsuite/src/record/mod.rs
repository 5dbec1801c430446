//! [`Recorder`]: stands between a registry and a driver, passes every call on as it is, and notes it in a [`Trace`].
//!
//! It must not know what the calls are for, and changes none. Configure is passed on and not noted, since parameters may
//! be secrets; nor are the URLs of redirects.

mod notes;
mod order;
mod pass;

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::process::{StartError, connect};
use crate::trace::Trace;
use notes::Notes;
use pass::Pass;

/// A socket at which a driver seems to listen. Dropping it cuts every connection.
pub struct Recorder {
    notes: Arc<Notes>,
    accepting: JoinHandle<io::Result<()>>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Recorder {
    /// Listens at `socket` for a registry, before the driver at `driver`.
    pub async fn listen(socket: &Path, driver: &Path) -> Result<Self, StartError> {
        let notes = Arc::<Notes>::default();
        let pass = Pass { calls: connect(driver).await?, streams: connect(driver).await?, notes: Arc::clone(&notes) };
        let accepting = tokio::spawn(accept(UnixListener::bind(socket)?, pass));
        Ok(Recorder { notes, accepting })
    }

    /// Notes what somebody wants of the registry from now on.
    pub fn step(&self, words: &str) {
        self.notes.step(words);
    }

    /// From now on, keeps calls of this name that name a path with `part` in it from the driver. They have begun, and
    /// whatever else happens meanwhile happens beside them.
    #[must_use]
    pub fn hold(&self, call: &'static str, part: &str) -> Held {
        Held { number: self.notes.hold(call, part), notes: Arc::clone(&self.notes) }
    }

    /// How many bytes write streams were given so far.
    pub fn written(&self) -> u64 {
        self.notes.written()
    }

    /// What was noted so far. A call that has not ended is told as left by its caller.
    pub fn trace(&self) -> Trace {
        self.notes.trace()
    }
}

/// Calls that are kept from the driver. Dropping it lets them pass.
pub struct Held {
    notes: Arc<Notes>,
    number: usize,
}

impl Held {
    /// Waits until this many calls are kept.
    pub async fn begun(&self, calls: usize) {
        self.notes.kept(self.number, calls).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.notes.release(self.number);
    }
}

async fn accept(listener: UnixListener, pass: Pass) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (caller, _) = listener.accept().await?;
        connections.spawn(pass.clone().serve(caller));
        while connections.try_join_next().is_some() {}
    }
}
