//! [`Pool`]: where calls of the file system wait, so that no thread of the runtime does. It knows nothing of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use driver_kit::{Error, ErrorKind, Result};
use rustix::io::{self, Errno};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Threads for work that blocks, and descriptors for content that stays open. Who finds none free waits.
#[derive(Clone)]
pub(crate) struct Pool {
    threads: Arc<Semaphore>,
    files: Arc<Semaphore>,
}

/// Tells work in the pool that nobody waits for it any more.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Long work calls this at every step.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Errno::CANCELED) } else { Ok(()) }
    }
}

struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

impl Pool {
    pub(crate) fn new(threads: usize, files: usize) -> Self {
        Pool { threads: Arc::new(Semaphore::new(threads)), files: Arc::new(Semaphore::new(files)) }
    }

    /// Runs `work` to its end, even when the caller goes away: a step is never left half done.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Stop) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = acquire(&self.threads).await?;
        let stop = Stop::default();
        let _stop_on_drop = StopOnDrop(stop.clone());
        let job = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&stop)
        });
        job.await.unwrap_or_else(|problem| Err(internal("an operation broke off").with_source(problem)))
    }

    /// The right to keep one file open.
    pub(crate) async fn file(&self) -> Result<OwnedSemaphorePermit> {
        acquire(&self.files).await
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    Arc::clone(semaphore).acquire_owned().await.map_err(|closed| internal("the driver is ending").with_source(closed))
}

fn internal(sentence: &str) -> Error {
    Error::new(ErrorKind::Internal, sentence)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_learns_that_its_caller_went_away() {
        let pool = Pool::new(1, 1);
        let (tell, told) = mpsc::channel();
        let call = pool.run(move |stop| {
            while stop.check().is_ok() {
                std::thread::yield_now();
            }
            tell.send(()).map_err(|_| internal("nobody listens"))
        });
        assert!(tokio::time::timeout(Duration::from_millis(20), call).await.is_err());
        assert!(told.recv_timeout(Duration::from_secs(5)).is_ok());
    }

    #[tokio::test]
    async fn callers_beyond_the_bound_wait_and_are_served() {
        let pool = Pool::new(2, 1);
        let calls = (0..50).map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.run(move |_| Ok(number)).await.unwrap() })
        });
        let answers = futures::future::join_all(calls).await;
        assert_eq!(answers.into_iter().map(|answer| answer.unwrap()).sum::<i32>(), (0..50).sum::<i32>());
    }
}
