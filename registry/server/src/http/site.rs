//! [`Site`]: what every handler is given. It knows the registry's settings and nothing of one request.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::storage::Registry;

use super::Request;

/// The registry behind the HTTP API, shared by all requests.
pub(crate) struct Site {
    pub(crate) registry: Registry,
    pub(crate) settings: Settings,
    /// Whether the store can be used now; asked by `/readyz`.
    pub(crate) readiness: Box<dyn Fn() -> Readiness + Send + Sync>,
}

/// What the operator decided about the HTTP API.
pub(crate) struct Settings {
    /// Every request that would write is refused.
    pub(crate) read_only: bool,
    /// Manifests, tags and blobs can be deleted.
    pub(crate) deletes: bool,
    /// Blob requests may be redirected to a URL that the driver signs.
    pub(crate) redirects: bool,
    /// Scheme and host before every `Location`; without it `Location` is relative, which every proxy understands.
    pub(crate) public_url: Option<String>,
    /// Headers of every response.
    pub(crate) headers: HeaderMap,
    /// Most entries of one page of the catalog.
    pub(crate) catalog_page_max: usize,
    /// Most tags of one page of a tag list.
    pub(crate) tags_page_max: usize,
}

/// The answer of `/readyz`.
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    /// A sentence: why not, when not.
    pub(crate) reason: String,
    pub(crate) driver_restarts: u64,
    /// Of a driver that this registry started.
    pub(crate) driver_pid: Option<u32>,
}

/// The other end of a TCP connection, an extension of each of its requests.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Site {
    /// The value of a `Location` header for `path`, which starts with `/v2/`.
    pub(super) fn location(&self, path: &str) -> String {
        format!("{}{path}", self.settings.public_url.as_deref().unwrap_or_default())
    }
}

/// The address of the client, when it came over TCP.
pub(super) fn client_address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<Peer>().map(|Peer(address)| address.ip())
}
