//! [`Paced`]: a request body whose client has to go on sending. It knows nothing of what is sent.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

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

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_client_that_stops_sending_is_given_up() {
        let silence = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let sent = futures::stream::iter([Ok(Bytes::from_static(b"a"))]);
        let body = Body::from_stream(futures::StreamExt::chain(sent, silence));
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
