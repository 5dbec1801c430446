//! The SDK's client: how requests are signed, sent, repeated and given up.

use std::time::Duration;

use aws_config::{AppName, BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder as HttpBuilder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use driver_kit::{Result, invalid};

use crate::settings::{CredentialSettings, ServerSettings};

/// What of the environment the SDK looks at to find credentials, proxies and certificates.
pub(crate) const ENVIRONMENT: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_SSO",
    "HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Attempts at one request. Between them the SDK waits ever longer, at random; its budget of repetitions keeps a server
/// that is down from being asked all the harder.
const ATTEMPTS: u32 = 4;
/// The longest it waits before the second one: the caller has a deadline, and repeats on its side.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const CONNECT: Duration = Duration::from_secs(5);
/// One attempt at a request that carries little and is answered at once.
const SMALL_ATTEMPT: Duration = Duration::from_secs(15);
const SMALL: Duration = Duration::from_secs(45);
/// One attempt at a request that carries a part, or that keeps the server busy with one.
const BULK_ATTEMPT: Duration = Duration::from_secs(5 * 60);
const BULK: Duration = Duration::from_secs(15 * 60);
/// Idle connections that are kept for the next requests, and for how long: a burst of calls must not leave descriptors
/// behind, and a connection that the server closes for being idle meets no request.
const IDLE_CONNECTIONS: usize = 64;
const IDLE: Duration = Duration::from_secs(4);

/// The client for calls of the driver.
pub(crate) async fn connect(server: &ServerSettings, credentials: &CredentialSettings) -> Result<Client> {
    let http = http_client(server)?;
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http);
    if let Some(region) = &server.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &credentials.profile {
        loader = loader.profile_name(profile);
    }
    if let Some((access, secret)) = &credentials.keys {
        let token = credentials.session_token.clone();
        loader = loader.credentials_provider(Credentials::new(access, secret, token, None, "parameters"));
    }
    if let Some(name) = &server.user_agent {
        let name = name.clone();
        loader =
            loader.app_name(AppName::new(name).map_err(|_| invalid("useragent", "has letters that cannot be sent"))?);
    }
    let shared = loader.use_fips(server.fips).use_dual_stack(server.dual_stack).load().await;
    if shared.region().is_none() {
        return Err(invalid("region", "is missing"));
    }
    Ok(Client::from_conf(configure(Builder::from(&shared), server).build()))
}

/// The same client as those reach the server who are sent there by a redirect.
pub(crate) fn for_redirects(client: &Client, server: &ServerSettings) -> Client {
    match &server.redirect_endpoint {
        Some(endpoint) => Client::from_conf(client.config().to_builder().endpoint_url(endpoint).build()),
        None => client.clone(),
    }
}

fn configure(builder: Builder, server: &ServerSettings) -> Builder {
    let (calculation, validation) = if server.checksums {
        (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
    } else {
        (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
    };
    let mut builder = builder
        .force_path_style(server.path_style)
        .accelerate(server.accelerate)
        .request_checksum_calculation(calculation)
        .response_checksum_validation(validation)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(BACKOFF_FIRST))
        .timeout_config(timeouts(SMALL_ATTEMPT, SMALL))
        // A reader of ours may take its time, and a server that copies much says nothing for long. What stalls is given up
        // by the time limits here and by those of the reads.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(endpoint) = &server.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    builder
}

/// What a request that moves much is given.
pub(crate) fn bulk() -> Builder {
    aws_sdk_s3::Config::builder().timeout_config(timeouts(BULK_ATTEMPT, BULK))
}

fn timeouts(attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

fn http_client(server: &ServerSettings) -> Result<SharedHttpClient> {
    if server.skip_verify {
        return Err(invalid(
            "skipverify",
            "is true, and certificates are always verified: give the authority's in SSL_CERT_FILE",
        ));
    }
    let proxy = ProxyConfig::from_env();
    Ok(HttpBuilder::new().build_with_connector_fn(move |settings, components| {
        // The pool is the connector's: what the builder around it were told of pools would be lost.
        let pooled = Connector::builder().pool_max_idle_per_host(IDLE_CONNECTIONS).pool_idle_timeout(IDLE);
        let mut connector = pooled.proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build()
    }))
}
