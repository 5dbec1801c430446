//! [`Fetched`]: the body of a response over HTTP/2, whose client has to go on fetching it.
//!
//! Over HTTP/1.1 the kernel gives up a connection whose client takes nothing. A stream of HTTP/2 can rest for ever on a
//! connection that is well alive, and holds what was to be sent. It knows nothing of what that is.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Nothing was asked for since the last look.
const RESTS: u8 = 0;
/// Something was asked for and given.
const FETCHED: u8 = 1;
/// What was asked for is not there yet: it is the store that is waited for.
const WAITS: u8 = 2;

pub(super) struct Fetched {
    body: Body,
    state: Arc<AtomicU8>,
    _watch: AbortOnDropHandle<()>,
}

impl Fetched {
    /// `body`; once its client has asked for nothing during `patience`, `given_up` is cancelled.
    pub(super) fn new(body: Body, patience: Duration, given_up: CancellationToken) -> Self {
        let state = Arc::new(AtomicU8::new(FETCHED));
        let watch = tokio::spawn(watch(Arc::clone(&state), patience, given_up));
        Fetched { body, state, _watch: AbortOnDropHandle::new(watch) }
    }
}

async fn watch(state: Arc<AtomicU8>, patience: Duration, given_up: CancellationToken) {
    loop {
        sleep(patience).await;
        let seen = state.compare_exchange(FETCHED, RESTS, Ordering::Relaxed, Ordering::Relaxed);
        if seen == Err(RESTS) {
            return given_up.cancel();
        }
    }
}

impl http_body::Body for Fetched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.state.store(if polled.is_pending() { WAITS } else { FETCHED }, Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use http_body_util::BodyExt;
    use tokio::time::{advance, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn fetched(body: Body) -> (Fetched, CancellationToken) {
        let given_up = CancellationToken::new();
        (Fetched::new(body, PATIENCE, given_up.clone()), given_up)
    }

    fn pieces() -> Body {
        Body::from_stream(stream::repeat(Bytes::from_static(b"piece")).map(Ok::<_, std::io::Error>))
    }

    #[tokio::test(start_paused = true)]
    async fn who_fetches_nothing_is_given_up() {
        let (_body, given_up) = fetched(pieces());
        timeout(3 * PATIENCE, given_up.cancelled()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_on_has_all_the_time() {
        let (mut body, given_up) = fetched(pieces());
        for _ in 0..20 {
            assert!(body.frame().await.unwrap().is_ok());
            assert!(timeout(PATIENCE * 3 / 4, given_up.cancelled()).await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_store_is_not_blamed() {
        let (mut body, given_up) = fetched(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()));
        assert!(timeout(Duration::from_millis(1), body.frame()).await.is_err());
        assert!(timeout(9 * PATIENCE, given_up.cancelled()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_done_is_watched_no_more() {
        let (body, given_up) = fetched(pieces());
        drop(body);
        advance(9 * PATIENCE).await;
        assert!(!given_up.is_cancelled());
    }
}
