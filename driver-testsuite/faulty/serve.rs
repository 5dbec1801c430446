//! The process: its socket, its signals, the pipe of its registry, and the drain.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use storagedriver_proto::handshake::handshake_server::HandshakeServer;
use storagedriver_proto::limits::FRAME;
use storagedriver_proto::v1alpha1::storage_driver_server::StorageDriverServer;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixListener;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;

use crate::fault::Fault;
use crate::gate::Gate;
use crate::health::Health;
use crate::hello::Hello;
use crate::launch::Launch;
use crate::linger::Linger;
use crate::service::{MESSAGE_MAX, Origin, Service, State};
use crate::{Problem, descriptors, log};

/// How long calls in flight may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);

/// How long accepting rests when there is no descriptor left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 16 << 20;
const STREAMS_MAX: u32 = 1 << 16;

pub(crate) async fn run(launch: Launch) -> Result<ExitCode, Problem> {
    let mut terminate = signal(SignalKind::terminate())?;
    raise_descriptor_limit();
    let state = Arc::new(State::new(launch.descriptor_listener.is_some()));
    if let Some(parameters) = launch.parameters {
        state.configure(parameters, Origin::Operator).await.map_err(|failure| failure.message)?;
    }
    let (stopping, stop) = watch::channel(false);
    let handing_over = descriptors::serve(launch.descriptor_listener, Arc::clone(&state), stop.clone());
    let calls = serve(launch.listener, launch.nonce, Arc::clone(&state), stop);
    let serving = tokio::spawn(async { tokio::try_join!(calls, handing_over) });
    tokio::select! {
        _ = terminate.recv() => {}
        () = end_of_pipe(launch.liveness), if !Fault::LivenessIgnored.on() => {
            if Fault::LivenessWaits.on() {
                stopping.send_replace(true);
                serving.await??;
            }
            return Ok(ExitCode::SUCCESS);
        }
    }
    if Fault::StopCutsCalls.on() {
        return Ok(ExitCode::SUCCESS);
    }
    stopping.send_replace(true);
    let patience = if Fault::StopNeverEnds.on() { Duration::MAX } else { DRAIN };
    match tokio::time::timeout(patience, serving).await {
        Ok(ended) => drop(ended??),
        Err(_) => log("calls were in flight when the time for them was over"),
    }
    Ok(if Fault::StopFails.on() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn serve(
    listener: StdListener,
    nonce: Vec<u8>,
    state: Arc<State>,
    stop: watch::Receiver<bool>,
) -> Result<(), Problem> {
    listener.set_nonblocking(true)?;
    let mut drain = stop.clone();
    let health = Health::new(Arc::clone(&state), stop);
    let health = (!Fault::HealthMissing.on()).then(|| HealthServer::new(health));
    let calls = StorageDriverServer::new(Service::new(Arc::clone(&state)));
    let calls = calls.max_decoding_message_size(if Fault::HugeMessageKills.on() { usize::MAX } else { MESSAGE_MAX });
    let served = Server::builder()
        .layer(tower::layer::layer_fn(Gate))
        .http2_max_header_list_size(Fault::ManyHeadersKill.on().then_some(1 << 20))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_pending_accept_reset_streams(usize::try_from(STREAMS_MAX).ok())
        .add_service(HandshakeServer::new(Hello::new(nonce, state)))
        .add_optional_service(health)
        .add_service(calls)
        .serve_with_incoming_shutdown(connections(UnixListener::from_std(listener)?), async move {
            // An error means that the process ends: that is a stop as well.
            let _ = drain.wait_for(|stopping| *stopping).await;
            if Fault::StopTakesCalls.on() {
                tokio::time::sleep(DRAIN).await;
            }
        });
    Ok(served.await?)
}

fn connections(listener: UnixListener) -> impl Stream<Item = io::Result<Linger>> {
    UnixListenerStream::new(listener).then(async |connection| {
        if connection.is_err() {
            tokio::time::sleep(ACCEPT_AGAIN).await;
        }
        connection.and_then(Linger::new)
    })
}

/// Completes when the other end of the pipe is closed; never without a pipe.
async fn end_of_pipe(liveness: Option<OwnedFd>) {
    let Some(mut pipe) = liveness.and_then(|pipe| pipe::Receiver::from_owned_fd(pipe).ok()) else {
        return std::future::pending().await;
    };
    while pipe.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
}

/// Reads in flight hold a descriptor each.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, fewer reads go on at once.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
