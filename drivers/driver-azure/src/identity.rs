//! Who the driver is: the policy that signs each request, or adds the token of an identity.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::CloudConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{ClientOptions, Context, Request};
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use driver_kit::{Result, invalid};

use crate::settings::{Federation, Identity};

/// What of the environment is looked at to find identities, proxies and certificates.
pub(crate) const ENVIRONMENT: &[&str] = &[
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_TENANT_ID",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Tokens for storage are the same in every cloud.
const SCOPE: &str = "https://storage.azure.com/.default";

type Credential = Arc<dyn TokenCredential>;

/// The credential of an identity that has tokens. `None`: it has a key or a query of its own.
pub(crate) fn credential(identity: &Identity, realm: &str, mut client: ClientOptions) -> Result<Option<Credential>> {
    client.cloud = cloud(realm).map(Arc::new);
    let made = match identity {
        Identity::Key(_) | Identity::Sas(_) => return Ok(None),
        Identity::ClientSecret { tenant, client: id, secret } => client_secret(tenant, id, secret, client),
        Identity::Workload(federation) => workload(federation, client),
        Identity::Managed { client: id } => managed(id.as_deref(), client),
        Identity::Found(federation) => found(federation, client),
    };
    let unusable = |problem| invalid("credentials.type", "names credentials that are not there").with_source(problem);
    made.map(Some).map_err(unusable)
}

/// The directory that belongs to a realm. `None`: the public one, or what the environment says.
fn cloud(realm: &str) -> Option<CloudConfiguration> {
    match realm {
        "core.usgovcloudapi.net" => Some(CloudConfiguration::AzureGovernment),
        "core.chinacloudapi.cn" => Some(CloudConfiguration::AzureChina),
        _ => None,
    }
}

fn client_secret(tenant: &str, id: &str, secret: &str, client: ClientOptions) -> azure_core::Result<Credential> {
    let options = ClientSecretCredentialOptions { client_options: client };
    let secret = Secret::new(secret.to_owned());
    Ok(ClientSecretCredential::new(tenant, id.to_owned(), secret, Some(options))?)
}

fn workload(federation: &Federation, client: ClientOptions) -> azure_core::Result<Credential> {
    let options = WorkloadIdentityCredentialOptions {
        credential_options: ClientAssertionCredentialOptions { client_options: client },
        client_id: federation.client.clone(),
        tenant_id: federation.tenant.clone(),
        token_file_path: None::<PathBuf>,
    };
    Ok(WorkloadIdentityCredential::new(Some(options))?)
}

fn managed(id: Option<&str>, client: ClientOptions) -> azure_core::Result<Credential> {
    let user_assigned_id = id.map(|id| UserAssignedId::ClientId(id.to_owned()));
    let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options: client };
    Ok(ManagedIdentityCredential::new(Some(options))?)
}

/// A secret in the environment, then the token of a Kubernetes service account, then the identity of the machine.
fn found(federation: &Federation, client: ClientOptions) -> azure_core::Result<Credential> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let id = federation.client.clone().or_else(|| variable("AZURE_CLIENT_ID"));
    let tenant = federation.tenant.clone().or_else(|| variable("AZURE_TENANT_ID"));
    match (tenant, &id, variable("AZURE_CLIENT_SECRET")) {
        (Some(tenant), Some(id), Some(secret)) => client_secret(&tenant, id, &secret, client),
        _ if variable("AZURE_FEDERATED_TOKEN_FILE").is_some() => workload(federation, client),
        _ => managed(id.as_deref(), client),
    }
}

/// Adds a token to each request. Unlike the client library's own it also serves a server on this host that has no TLS.
#[derive(Debug)]
pub(crate) struct Bearer(pub(crate) Credential);

#[async_trait]
impl Policy for Bearer {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let token = self.0.get_token(&[SCOPE], None).await?;
        request.insert_header("authorization", format!("Bearer {}", token.token.secret()));
        match next {
            [policy, rest @ ..] => policy.send(ctx, request, rest).await,
            [] => Err(azure_core::Error::with_message(azure_core::error::ErrorKind::Other, "nothing sends requests")),
        }
    }
}
