//! The clients of the service: how requests are sent, signed, repeated and given up.

use std::sync::Arc;

use azure_core::http::policies::Policy;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, Pipeline, RetryOptions, Transport, Url};
use azure_storage_blob::clients::BlobContainerClientOptions;
use azure_storage_blob::{BlobContainerClient, BlobServiceClient, BlobServiceClientOptions};
use driver_kit::{Error, Result, invalid};

use crate::identity::{Bearer, credential};
use crate::patience::Patience;
use crate::sender::Sender;
use crate::settings::{Identity, ServerSettings, Settings};
use crate::shared_key::SharedKey;
use crate::sign::Signer;

/// Attempts to get a token, within the time of the request that needs it.
const TOKEN_RETRIES: u32 = 2;
const TOKEN_RETRIES_LAST: azure_core::time::Duration = azure_core::time::Duration::seconds(6);

/// What the driver sends its requests with.
pub(crate) struct Clients {
    pub(crate) container: BlobContainerClient,
    /// For the requests that the client library has no method for, through the same policies.
    pub(crate) pipeline: Pipeline,
    /// Of the protocol.
    pub(crate) version: String,
    pub(crate) signer: Signer,
}

impl Clients {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let transport = Transport::new(Arc::new(Sender::new()?));
        let tokens = token_options(&transport);
        let credential = credential(&settings.identity, &settings.server.realm, tokens)?;
        let mut per_try_policies: Vec<Arc<dyn Policy>> = Vec::new();
        let key = match &settings.identity {
            Identity::Key(key) => Some(Arc::new(SharedKey::new(&settings.server.account, key.clone()))),
            _ => None,
        };
        per_try_policies.extend(key.clone().map(|key| key as Arc<dyn Policy>));
        if let Some(credential) = &credential {
            check_transport(&settings.server.endpoint)?;
            per_try_policies.push(Arc::new(Bearer(Arc::clone(credential))));
        }
        let options = ClientOptions {
            per_call_policies: vec![Arc::new(Patience)],
            per_try_policies,
            retry: RetryOptions::none(),
            transport: Some(transport),
            ..ClientOptions::default()
        };
        Self::with(settings, options, key, credential.is_some())
    }

    fn with(
        settings: &Settings,
        options: ClientOptions,
        key: Option<Arc<SharedKey>>,
        has_tokens: bool,
    ) -> Result<Self> {
        let url = container_url(&settings.server.endpoint, settings)?;
        let service = BlobServiceClientOptions { client_options: options.clone(), ..Default::default() };
        let service = BlobServiceClient::new(settings.server.endpoint.clone(), None, Some(service));
        let service = service.map_err(unmade)?;
        let containers = BlobContainerClientOptions { client_options: options.clone(), ..Default::default() };
        let version = containers.version.clone();
        let container = BlobContainerClient::new(url, None, Some(containers)).map_err(unmade)?;
        let name = option_env!("CARGO_PKG_NAME");
        let pipeline = Pipeline::new(name, option_env!("CARGO_PKG_VERSION"), options, Vec::new(), Vec::new(), None);
        let signer = Signer::new(&settings.server, &settings.container, key, has_tokens.then_some(service));
        Ok(Clients { container, pipeline, version, signer })
    }
}

/// A token gives its holder the whole account: it goes over the network under TLS alone.
fn check_transport(endpoint: &Url) -> Result<()> {
    let host = endpoint.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    if endpoint.scheme() == "https" || is_local {
        return Ok(());
    }
    Err(invalid("endpoint", "begins with http://, and tokens are sent over https:// only"))
}

/// The container, with the query that lets the driver in where it has one.
pub(crate) fn container_url(endpoint: &Url, settings: &Settings) -> Result<Url> {
    let mut url = endpoint.clone();
    match url.path_segments_mut() {
        Ok(mut segments) => segments.pop_if_empty().push(&settings.container),
        Err(()) => return Err(invalid("endpoint", "cannot have a path")),
    };
    if let Identity::Sas(query) = &settings.identity {
        url.set_query(Some(query));
    }
    Ok(url)
}

fn token_options(transport: &Transport) -> ClientOptions {
    let retries = ExponentialRetryOptions {
        max_retries: TOKEN_RETRIES,
        max_total_elapsed: TOKEN_RETRIES_LAST,
        ..ExponentialRetryOptions::default()
    };
    ClientOptions {
        retry: RetryOptions::exponential(retries),
        transport: Some(transport.clone()),
        ..ClientOptions::default()
    }
}

fn unmade(problem: azure_core::Error) -> Error {
    invalid("endpoint", "cannot be used").with_source(problem)
}

/// The account as its clients know it.
impl ServerSettings {
    pub(crate) fn is_plain(&self) -> bool {
        self.redirect_endpoint.scheme() == "http"
    }
}
