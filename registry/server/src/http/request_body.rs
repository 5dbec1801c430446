//! Request bodies: [`Paced`], whose client has to go on sending, and [`Lingering`], which is received to its end although
//! nobody wants it. They know nothing of what is sent.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Why a request body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokenBody<E> {
    #[error("the client sent nothing for {} seconds", .0.as_secs())]
    Stalled(Duration),
    #[error("the client went away")]
    Lost(#[source] E),
}

/// Fails when nothing comes for `patience` while somebody waits for it; how long the waiting one takes does not count.
pub(super) struct Paced<B> {
    body: B,
    patience: Duration,
    /// Made when the body first keeps somebody waiting.
    alarm: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, patience: Duration) -> Self {
        Paced { body, patience, alarm: None, waiting: false }
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        if !self.waiting {
            alarm.as_mut().reset(Instant::now() + self.patience);
            self.waiting = true;
        }
        alarm.as_mut().poll(cx)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = BrokenBody<B::Error>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(BrokenBody::Lost)));
        }
        ready!(self.poll_alarm(cx));
        Poll::Ready(Some(Err(BrokenBody::Stalled(self.patience))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How much of a body that nobody wants is received, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Linger {
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

/// A body of which the rest is received and thrown away when it is dropped before its end.
///
/// Many clients read no answer before they have sent their body. Closing the connection on them would destroy the answer
/// that tells why; so the answer goes out at once, and beside it the rest comes in, within bounds.
pub(super) struct Lingering<B: Body<Data = Bytes> + Send + Unpin + 'static> {
    /// `None` once there is nothing to come.
    body: Option<B>,
    linger: Linger,
    /// The client sends without being asked to.
    comes: bool,
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Lingering<B> {
    /// `waits`: the client sends its body only when somebody begins to read it, so that one who is refused sends nothing.
    pub(super) fn new(body: B, linger: Linger, waits: bool) -> Self {
        Lingering { body: Some(body), linger, comes: !waits }
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Body for Lingering<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.comes = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Drop for Lingering<B> {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| self.comes && !body.is_end_stream());
        let (Some(body), Ok(runtime)) = (rest, Handle::try_current()) else { return };
        let linger = self.linger;
        runtime.spawn(async move { timeout(linger.time, receive(body, linger.bytes)).await });
    }
}

/// Throws a body away, up to so many bytes of it.
async fn receive(mut body: impl Body<Data = Bytes> + Unpin, most: u64) {
    let mut received = 0;
    while let Some(Ok(frame)) = body.frame().await {
        received += frame.data_ref().map_or(0, |data| data.len() as u64);
        if received > most {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body;
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn what_nobody_wants_is_received_within_bounds() {
        let linger = Linger { bytes: 10, time: Duration::from_secs(60) };
        for (waits, read, expected) in [(false, 0, 11), (false, 3, 14), (true, 0, 0), (true, 1, 12)] {
            let sent = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&sent);
            let pieces = futures::stream::repeat(Bytes::from_static(b"a")).take(1000).map(move |piece| {
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, std::io::Error>(piece)
            });
            let mut body = Lingering::new(Body::from_stream(pieces), linger, waits);
            for _ in 0..read {
                body.frame().await.unwrap().unwrap();
            }
            drop(body);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(sent.load(Ordering::Relaxed), expected, "{waits} {read}");
        }
    }

    #[tokio::test]
    async fn a_client_that_stops_sending_is_given_up() {
        let silence = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let sent = futures::stream::iter([Ok(Bytes::from_static(b"a"))]);
        let body = Body::from_stream(sent.chain(silence));
        let mut paced = Paced::new(body, Duration::from_millis(10));
        assert_eq!(paced.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        assert!(matches!(paced.frame().await, Some(Err(BrokenBody::Stalled(_)))));
    }

    #[tokio::test]
    async fn only_waiting_counts() {
        let sent = futures::stream::iter(["a", "b", "c"].map(|part| Ok::<_, std::io::Error>(Bytes::from(part))));
        let mut paced = Paced::new(Body::from_stream(sent), Duration::ZERO);
        assert_eq!(BodyExt::collect(&mut paced).await.unwrap().to_bytes(), "abc");
    }
}
