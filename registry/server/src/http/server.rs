//! Connections: accepted up to a limit, each served with limits of its own, and finished in order at the end.
//!
//! It must not know what a request asks.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::Version;
use http::header::EXPECT;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::edge;
use super::fetched::Fetched;
use super::file_body::Files;
use super::listener::{Address, BindError, Listener, Stream};
use super::request_body::{Linger, Lingering, Paced};
use super::sendfile::Sendfile;
use super::site::{Peer, Site};

/// What one client, and all of them together, may take.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Connections served at once; more wait to be accepted.
    pub(crate) connections: usize,
    /// How long requests in flight may take after the order to stop.
    pub(crate) drain: Duration,
}

/// Also how long a connection may stay idle, before its first request as well as after another.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// A client that is waited for and sends nothing of a body for this long is given up.
const BODY_PATIENCE: Duration = Duration::from_secs(60);
/// Who fetches nothing of an answer for this long, or up to twice, loses the connection: a piece in a minute is enough.
const FETCH_PATIENCE: Duration = Duration::from_secs(60);
/// What a client may still send of a body after it was refused: a layer over a usual network.
const LINGER: Linger = Linger { bytes: 1 << 30, time: Duration::from_secs(60) };
const HEADER_COUNT_MAX: usize = 100;
/// Bounds the headers of a request, and what is read at once of its body.
const READ_BUFFER_MAX: usize = 64 << 10;
/// Each may hold what waits for its client, and a descriptor.
const HTTP2_STREAMS_MAX: u32 = 32;
const HTTP2_HEADER_BYTES_MAX: u32 = 64 << 10;
/// What a client may have sent that nobody has taken yet.
const HTTP2_STREAM_WINDOW: u32 = 512 << 10;
const HTTP2_CONNECTION_WINDOW: u32 = 1 << 20;
const HTTP2_SEND_BUFFER_MAX: usize = 64 << 10;
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// After `accept` failed for want of descriptors, a moment for some to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// One in so many failures in a row is told, which is one in a minute.
const ACCEPT_FAILURES_TOLD: u32 = 1200;

/// A bound socket, ready to serve.
pub(crate) struct Server {
    listener: Listener,
    limits: Limits,
}

impl Server {
    pub(crate) async fn bind(address: &Address, limits: Limits) -> Result<Self, BindError> {
        Ok(Server { listener: Listener::bind(address).await?, limits })
    }

    /// Where it listens, with the port that the kernel chose for port 0.
    pub(crate) fn address(&self) -> Address {
        self.listener.address()
    }

    /// Serves until `stop`, then finishes what is in flight as long as the limit allows. What is not finished then
    /// ends with the process, as in a crash.
    pub(crate) async fn serve(self, site: Arc<Site>, stop: impl Future<Output = ()>) {
        let Server { listener, limits } = self;
        let connections = Connections { site, builder: builder(), graceful: GracefulShutdown::new() };
        let room = Arc::new(Semaphore::new(limits.connections));
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                (stream, peer, place) = accept(&listener, &room) => connections.spawn(stream, peer, place),
            }
        }
        drop(listener);
        connections.finish(limits.drain).await;
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &Listener,
    room: &Arc<Semaphore>,
) -> (Stream, Option<SocketAddr>, Option<OwnedSemaphorePermit>) {
    let place = Arc::clone(room).acquire_owned().await.ok();
    let mut failures = 0_u32;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(problem) => {
                if failures.is_multiple_of(ACCEPT_FAILURES_TOLD) {
                    tracing::warn!(%problem, "connections cannot be accepted");
                }
                failures += 1;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

struct Connections {
    site: Arc<Site>,
    builder: Builder<TokioExecutor>,
    graceful: GracefulShutdown,
}

impl Connections {
    fn spawn(&self, stream: Stream, peer: Option<SocketAddr>, place: Option<OwnedSemaphorePermit>) {
        let site = Arc::clone(&self.site);
        let files = Files::default();
        let socket = Sendfile::new(stream, files.clone());
        let asked = Arc::new(AtomicBool::new(false));
        let was_asked = Arc::clone(&asked);
        let given_up = CancellationToken::new();
        let stalled = given_up.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let waits = request.headers().contains_key(EXPECT);
            let receive = |body| Body::new(Lingering::new(Paced::new(body, BODY_PATIENCE), LINGER, waits));
            let mut request = request.map(receive);
            if let Some(address) = peer {
                request.extensions_mut().insert(Peer(address));
            }
            // The frames of HTTP/2 are made of bytes in memory.
            let has_streams = request.version() > Version::HTTP_11;
            if !has_streams {
                request.extensions_mut().insert(files.clone());
            }
            let answer = edge::answer(Arc::clone(&site), request);
            let stalled = stalled.clone();
            let fetched = |body| Body::new(Fetched::new(body, FETCH_PATIENCE, stalled));
            async move { Ok::<_, Infallible>(if has_streams { answer.await.map(fetched) } else { answer.await }) }
        });
        let connection = self.builder.serve_connection(TokioIo::new(socket), service).into_owned();
        let served = self.graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                ended = served => if let Err(problem) = ended {
                    tracing::debug!(problem, "a connection broke");
                },
                () = silence(&was_asked) => tracing::debug!("a connection asked for nothing"),
                () = given_up.cancelled() => tracing::debug!("a connection fetched nothing of an answer"),
            }
            drop(place);
        });
    }

    async fn finish(self, drain: Duration) {
        if tokio::time::timeout(drain, self.graceful.shutdown()).await.is_err() {
            tracing::warn!(seconds = drain.as_secs(), "requests still in flight were cut off");
        }
    }
}

/// Completes when nothing was asked for in time. The library limits what follows, but waits without end for the first
/// bytes, from which it learns the protocol.
async fn silence(was_asked: &AtomicBool) {
    tokio::time::sleep(HEADER_TIMEOUT).await;
    if was_asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // Who has sent all of a request may say so, and still wants its answer.
        .half_close(true)
        .max_headers(HEADER_COUNT_MAX)
        .max_buf_size(READ_BUFFER_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(HTTP2_HEADER_BYTES_MAX)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_send_buf_size(HTTP2_SEND_BUFFER_MAX);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_nothing_is_given_up_and_nobody_else() {
        silence(&AtomicBool::new(false)).await;
        let long = HEADER_TIMEOUT * 1000;
        assert!(tokio::time::timeout(long, silence(&AtomicBool::new(true))).await.is_err());
    }
}
