//! [`Pass`]: carries gRPC calls from one connection to another, message by message, whatever service they are of.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use storagedriver_proto::limits::FRAME;
use tokio::net::UnixStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::http::{self, Extensions};
use tonic::server::StreamingService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::notes::{Noted, Notes};
use crate::raw::Raw;

const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 16 << 20;
const STREAMS_MAX: u32 = 1 << 16;

const SERVICE: &str = "/storagedriver.v1alpha1.StorageDriver/";

/// The calls whose messages are streams.
const STREAMS: [&str; 3] = ["Read", "Walk", "Write"];

type Messages = BoxStream<'static, Result<Bytes, Status>>;

/// The way to the driver, on one connection for calls and another for streams.
#[derive(Clone)]
pub(super) struct Pass {
    pub(super) calls: Channel,
    pub(super) streams: Channel,
    pub(super) notes: Arc<Notes>,
}

impl Pass {
    /// Serves a connection to its end.
    pub(super) async fn serve(self, connection: UnixStream) -> hyper::Result<()> {
        let answering = hyper::service::service_fn(move |request| answer(self.clone(), request));
        let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        server.max_frame_size(FRAME).max_concurrent_streams(STREAMS_MAX);
        server.serve_connection(TokioIo::new(connection), answering).await
    }
}

async fn answer(pass: Pass, request: http::Request<Incoming>) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let method = request.uri().path().to_owned();
    Ok(tonic::server::Grpc::new(Raw).streaming(Call { pass, method }, request).await)
}

/// One call. To gRPC all kinds of calls look like streams in both directions.
struct Call {
    pass: Pass,
    method: String,
}

impl StreamingService<Bytes> for Call {
    type Response = Bytes;
    type ResponseStream = Messages;
    type Future = BoxFuture<'static, Result<Response<Messages>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(carry(self.pass.clone(), self.method.clone(), request))
    }
}

/// The deadline of a call travels in its metadata.
async fn carry(pass: Pass, method: String, request: Request<Streaming<Bytes>>) -> Result<Response<Messages>, Status> {
    let name = method.strip_prefix(SERVICE).unwrap_or_default().to_owned();
    let channel = if STREAMS.contains(&name.as_str()) { pass.streams } else { pass.calls };
    let noted = Noted::new(pass.notes, name);
    let path = PathAndQuery::try_from(method).map_err(|problem| Status::internal(problem.to_string()))?;
    let (metadata, _, messages) = request.into_parts();
    let requests = Request::from_parts(metadata, Extensions::new(), noting_requests(noted.clone(), messages));
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|problem| Status::unavailable(problem.to_string()))?;
    let answered = grpc.streaming(requests, path, Raw).await;
    let (metadata, messages, extensions) = answered.inspect_err(|status| noted.failed(status))?.into_parts();
    Ok(Response::from_parts(metadata, noting_answers(noted, messages), extensions))
}

/// A caller that is gone ends the stream, as if it had nothing more to say.
fn noting_requests(noted: Noted, messages: Streaming<Bytes>) -> BoxStream<'static, Bytes> {
    let messages = messages.take_while(|message| ready(message.is_ok())).filter_map(|message| ready(message.ok()));
    messages.then(move |message| noted.asked(message)).boxed()
}

fn noting_answers(noted: Noted, messages: Streaming<Bytes>) -> Messages {
    let (answering, failing, ending) = (noted.clone(), noted.clone(), noted.clone());
    let leaving = Leaving(noted);
    let messages = messages.inspect_ok(move |message| answering.answered(message));
    let messages = messages.inspect_err(move |status| {
        let Leaving(_while_it_is_polled) = &leaving;
        failing.failed(status);
    });
    let end = stream::once(async move { ending.ended() }).filter_map(|()| ready(None));
    messages.chain(end).boxed()
}

/// Notes that the answers are wanted no more.
struct Leaving(Noted);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.left();
    }
}
