//! [`Server`]: one store served on its listening sockets, from the first connection to the end of the drain.
//!
//! It knows nothing of processes, signals and inherited descriptors.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt};
use storagedriver_proto::handshake::handshake_server::HandshakeServer;
use storagedriver_proto::limits::FRAME;
use storagedriver_proto::v1alpha1::storage_driver_server::StorageDriverServer;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::capabilities::Capabilities;
use crate::connection::Connection;
use crate::driver::StorageDriver;
use crate::error::Result;
use crate::handshake::Handshake;
use crate::health::Health;
use crate::service::Service;
use crate::store::{Origin, Store};
use crate::{descriptors, packets};

/// How long calls in flight may go on once the driver was asked to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// How long accepting connections rests when the process has run out of descriptors.
pub(crate) const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What a stream may send before it is read.
const STREAM_WINDOW: u32 = 256 << 10;

/// What all streams of a connection may send together.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Streams of a connection, and cancelled ones not looked at yet: the registry is trusted, and never failed for many.
const STREAMS_MAX: u32 = 1 << 16;

/// A driver on a socket: what [`serve`](crate::serve) runs, and what a test runs within its own process.
pub struct Server<D: StorageDriver> {
    store: Arc<Store<D>>,
    nonce: Bytes,
    descriptors: Option<packets::Listener>,
}

impl<D: StorageDriver> Server<D> {
    /// A driver that waits for Configure. `nonce` is echoed in the handshake.
    pub fn new(nonce: impl Into<Bytes>) -> Self {
        Server { store: Arc::new(Store::new(false)), nonce: nonce.into(), descriptors: None }
    }

    /// A driver like [`new`](Self::new), from which descriptors can be had over `socket`: a listening Unix socket of type
    /// SOCK_SEQPACKET. It is called where the runtime runs that serves.
    pub fn with_descriptor_socket(nonce: impl Into<Bytes>, socket: OwnedFd) -> io::Result<Self> {
        let descriptors = Some(packets::Listener::new(socket)?);
        Ok(Server { store: Arc::new(Store::new(true)), nonce: nonce.into(), descriptors })
    }

    /// Configures the driver in the place of the registry, whose Configure may then come without parameters.
    pub async fn configure(&self, parameters: BTreeMap<String, String>) -> Result<Capabilities> {
        self.store.configure(parameters, Origin::Operator).await
    }

    /// Serves until `stop` completes, then refuses new calls and finishes those in flight, for ten seconds at most.
    pub async fn serve(self, listener: UnixListener, stop: impl Future<Output = ()>) -> io::Result<()> {
        let reporter = HealthReporter::new();
        let health_service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        let health = Arc::new(Health::new(reporter, Arc::clone(&self.store)).await);
        let draining = CancellationToken::new();
        let handing_over = descriptors::serve(self.descriptors, Arc::clone(&self.store), draining.clone());
        let calls = transport()
            .add_service(health_service)
            .add_service(HandshakeServer::new(Handshake::<D>::new(self.nonce)))
            .add_service(StorageDriverServer::new(Service::new(self.store, Arc::clone(&health))))
            .serve_with_incoming_shutdown(connections(listener), draining.clone().cancelled_owned());
        let mut serving = pin!(async { tokio::try_join!(calls, handing_over.map(Ok)) });
        tokio::select! {
            ended = &mut serving => return ended.map(drop).map_err(io::Error::other),
            () = health.watch() => {}
            () = stop => {}
        }
        health.close().await;
        draining.cancel();
        match tokio::time::timeout(DRAIN, serving).await {
            Ok(ended) => ended.map(drop).map_err(io::Error::other),
            Err(_) => {
                tracing::warn!("calls were still in flight when the time to finish them was over");
                Ok(())
            }
        }
    }
}

fn transport() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_pending_accept_reset_streams(Some(STREAMS_MAX as usize))
}

/// The connections of the registry. A failure to accept one is waited out, not spun on.
fn connections(listener: UnixListener) -> impl Stream<Item = io::Result<Connection>> {
    UnixListenerStream::new(listener).then(|connection| async {
        if let Err(problem) = &connection {
            tracing::warn!(cause = %problem, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_AGAIN).await;
        }
        connection.map(Connection::new)
    })
}
