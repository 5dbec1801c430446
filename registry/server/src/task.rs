//! Work that goes on when whoever asked for it is gone, and that panics where its outcome is waited for.
//!
//! It must not know what the work is.

use tokio::task::JoinHandle;

/// Runs `work` to its end, also when this future is dropped before.
pub(crate) async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    outcome(tokio::spawn(work)).await
}

/// What a task comes to.
pub(crate) async fn outcome<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(outcome) => outcome,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only the end of the whole process stops it otherwise, and that ends this future as well.
            Err(_) => std::future::pending().await,
        },
    }
}
