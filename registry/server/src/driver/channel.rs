//! The connections to a driver: one for unary calls, a small pool for streams. It knows no call and no retry.
//!
//! On one HTTP/2 connection a few unread streams can use up the window that all its calls share. So streams never
//! travel with unary calls, and no connection carries more of them than its window can hold.

use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use storagedriver_proto::limits::FRAME;
use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity, Uri};
use tower::service_fn;

use super::settings::{Endpoint, TlsFiles};

const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 16 << 20;
const STREAMS_PER_CONNECTION: usize = (CONNECTION_WINDOW / STREAM_WINDOW) as usize;
const BULK_CONNECTIONS: usize = 8;
/// How long a machine may say nothing; longer than a driver may stand still.
const NETWORK_PATIENCE: Duration = Duration::from_secs(20);

pub(super) type Client = StorageDriverClient<Channel>;

/// Why an endpoint cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidEndpoint {
    #[error("{url:?} is not an https:// address")]
    Url { url: String },
    #[error("cannot read {}", file.display())]
    File { file: PathBuf, source: io::Error },
    #[error("the TLS files cannot be used")]
    Tls(#[source] tonic::transport::Error),
}

/// Connections that open when they are first used, and again when they break.
pub(super) struct Connections {
    control: Channel,
    bulk: Vec<Channel>,
    /// Streams open on each bulk connection.
    loads: Arc<Mutex<Vec<usize>>>,
    free: Arc<Semaphore>,
}

/// The right to one stream on one bulk connection, to be kept as long as the stream.
pub(super) struct BulkLease {
    slot: usize,
    channel: Channel,
    loads: Arc<Mutex<Vec<usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn to(endpoint: &Endpoint) -> Result<Self, InvalidEndpoint> {
        let connect = connector(endpoint)?;
        Ok(Connections {
            control: connect(),
            bulk: (0..BULK_CONNECTIONS).map(|_| connect()).collect(),
            loads: Arc::new(Mutex::new(vec![0; BULK_CONNECTIONS])),
            free: Arc::new(Semaphore::new(BULK_CONNECTIONS * STREAMS_PER_CONNECTION)),
        })
    }

    /// The connection of every unary call, of the handshake and of the health service.
    pub(super) fn control(&self) -> Channel {
        self.control.clone()
    }

    /// Waits until one more stream fits, and takes the connection with the fewest: the pool grows with its use.
    pub(super) async fn lease_bulk(&self) -> Option<BulkLease> {
        // There are as many permits as places, so with a permit the least loaded connection has a place.
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        let (slot, load) = loads.iter_mut().enumerate().min_by_key(|(_, load)| **load)?;
        *load += 1;
        let channel = self.bulk.get(slot)?.clone();
        Some(BulkLease { slot, channel, loads: Arc::clone(&self.loads), _permit: permit })
    }

    /// How many streams are open.
    #[cfg(test)]
    pub(super) fn streams(&self) -> usize {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner).iter().sum()
    }
}

impl BulkLease {
    pub(super) fn client(&self) -> Client {
        Client::new(self.channel.clone())
    }
}

impl Drop for BulkLease {
    fn drop(&mut self) {
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = loads.get_mut(self.slot) {
            *load -= 1;
        }
    }
}

/// What makes one more connection to `endpoint`.
fn connector(endpoint: &Endpoint) -> Result<Box<dyn Fn() -> Channel>, InvalidEndpoint> {
    match endpoint {
        Endpoint::Unix(path) => {
            let path = path.clone();
            Ok(Box::new(move || unix(path.clone())))
        }
        Endpoint::Https { url, tls } => {
            let endpoint = https(url, tls)?;
            Ok(Box::new(move || endpoint.connect_lazy()))
        }
    }
}

/// Some gRPC libraries send the path of the socket as `:authority`, which others refuse; `localhost` suits all.
fn unix(path: PathBuf) -> Channel {
    let endpoint = tuned(tonic::transport::Endpoint::from_static("http://localhost"));
    endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    }))
}

fn https(url: &str, tls: &TlsFiles) -> Result<tonic::transport::Endpoint, InvalidEndpoint> {
    let invalid = || InvalidEndpoint::Url { url: url.to_owned() };
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    if uri.scheme_str() != Some("https") || uri.host().is_none() {
        return Err(invalid());
    }
    let identity = Identity::from_pem(read(&tls.certificate)?, read(&tls.key)?);
    let authority = Certificate::from_pem(read(&tls.authority)?);
    let config = ClientTlsConfig::new().ca_certificate(authority).identity(identity);
    let endpoint = tuned(uri.into()).tls_config(config).map_err(InvalidEndpoint::Tls)?;
    // Over a network a peer can be gone without a word, and calls would wait on its connection for ever.
    let endpoint = endpoint.connect_timeout(NETWORK_PATIENCE).tcp_nodelay(true);
    Ok(endpoint.http2_keep_alive_interval(NETWORK_PATIENCE).keep_alive_timeout(NETWORK_PATIENCE))
}

fn tuned(endpoint: tonic::transport::Endpoint) -> tonic::transport::Endpoint {
    endpoint
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
}

fn read(file: &FilePath) -> Result<Vec<u8>, InvalidEndpoint> {
    std::fs::read(file).map_err(|source| InvalidEndpoint::File { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::task::unconstrained;

    use super::*;

    fn connections() -> Connections {
        Connections::to(&Endpoint::Unix("/nowhere".into())).unwrap()
    }

    #[tokio::test]
    async fn no_connection_carries_more_streams_than_its_window_holds() {
        let connections = connections();
        let mut leases = Vec::new();
        while let Some(lease) = unconstrained(connections.lease_bulk()).now_or_never() {
            leases.push(lease.unwrap());
        }
        assert_eq!(leases.len(), BULK_CONNECTIONS * STREAMS_PER_CONNECTION);
        assert!(connections.loads.lock().unwrap().iter().all(|load| *load == STREAMS_PER_CONNECTION));
        leases.truncate(1);
        assert!(unconstrained(connections.lease_bulk()).now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_pool_grows_only_with_concurrent_streams() {
        let connections = connections();
        for _ in 0..3 {
            assert_eq!(connections.lease_bulk().await.unwrap().slot, 0);
        }
        let first = connections.lease_bulk().await.unwrap();
        let second = connections.lease_bulk().await.unwrap();
        assert_eq!((first.slot, second.slot), (0, 1));
    }

    #[test]
    fn an_address_without_tls_is_refused() {
        let tls = TlsFiles { authority: "/ca".into(), certificate: "/c".into(), key: "/k".into() };
        for url in ["http://driver:1", "driver:1", "https://", "not a url"] {
            let refused = Connections::to(&Endpoint::Https { url: url.to_owned(), tls: tls.clone() });
            assert!(matches!(refused.err(), Some(InvalidEndpoint::Url { .. })), "{url}");
        }
        let unreadable = Connections::to(&Endpoint::Https { url: "https://driver:1".to_owned(), tls });
        assert!(matches!(unreadable.err(), Some(InvalidEndpoint::File { .. })));
    }
}
