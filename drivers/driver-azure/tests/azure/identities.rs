//! How the driver comes by its tokens, and what it does with them.

use std::io::Write;
use std::sync::Arc;

use driver_testsuite::{Launch, Running, refusal};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::fake::Fake;

/// A directory that gives tokens, which it does under TLS alone, and the file with the authority that it belongs to.
struct Directory {
    fake: Fake,
    authority: NamedTempFile,
}

impl Directory {
    fn start() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(issuer.pem().as_bytes()).unwrap();
        Directory { fake: Fake::start_tls(TlsAcceptor::from(Arc::new(config))), authority: file }
    }

    fn known_to(&self, launch: Launch) -> Launch {
        launch
            .variable("AZURE_AUTHORITY_HOST", format!("https://localhost:{}", self.fake.address().port()))
            .variable("SSL_CERT_FILE", self.authority.path())
    }

    fn asked(&self) -> Vec<String> {
        self.fake.state().asked_for_tokens.clone()
    }
}

/// Every request of a driver that works has the token.
async fn works_with_the_token(server: &Fake, launch: Launch) {
    let driver = Running::start(&launch).await.unwrap();
    driver.put("/a", "content").await.unwrap();
    assert_eq!(driver.content("/a").await.unwrap(), b"content");
    assert!(driver.capabilities().redirect);
    let url = driver.redirect_url("/a").await.unwrap();
    assert!(url.contains("skoid=o") && url.contains("sp=r") && !url.contains("a-token"), "{url}");
    let authorizations = server.state().authorizations.clone();
    assert!(authorizations.iter().all(|seen| seen == "Bearer a-token") && authorizations.len() >= 4);
}

#[tokio::test]
async fn a_managed_identity_is_asked_for_at_the_endpoint_of_the_environment() {
    let server = Fake::start();
    let identity = Fake::start();
    let launch = server
        .launch()
        .parameter("credentials.type", "managed_identity")
        .parameter("credentials.clientid", "mine")
        .variable("IDENTITY_ENDPOINT", format!("http://{}/identity", identity.address()))
        .variable("IDENTITY_HEADER", "a-header");
    works_with_the_token(&server, launch).await;
    let asked = identity.state().asked_for_tokens.clone();
    assert_eq!(asked.len(), 1, "a token is good for more than one request");
    for part in ["resource=https%3A%2F%2Fstorage.azure.com", "client_id=mine", "a-header"] {
        assert!(asked[0].contains(part), "{asked:?} lacks {part}");
    }
}

#[tokio::test]
async fn a_workload_gives_the_token_of_its_service_account() {
    let (server, directory) = (Fake::start(), Directory::start());
    let mut token = NamedTempFile::new().unwrap();
    token.write_all(b"the-account").unwrap();
    let launch = directory
        .known_to(server.launch())
        .variable("AZURE_TENANT_ID", "a-tenant")
        .variable("AZURE_CLIENT_ID", "a-client")
        .variable("AZURE_FEDERATED_TOKEN_FILE", token.path());
    works_with_the_token(&server, launch).await;
    let asked = directory.asked();
    for part in ["/a-tenant/oauth2/v2.0/token", "client_assertion=the-account", "client_id=a-client"] {
        assert!(asked[0].contains(part), "{asked:?} lacks {part}");
    }
}

#[tokio::test]
async fn a_client_secret_is_good_or_told_to_be_wrong() {
    let (server, directory) = (Fake::start(), Directory::start());
    let launch = |secret: &str| {
        directory
            .known_to(server.launch())
            .parameter("credentials.type", "client_secret")
            .parameter("credentials.tenantid", "a-tenant")
            .parameter("credentials.clientid", "a-client")
            .parameter("credentials.secret", secret)
    };
    works_with_the_token(&server, launch("good")).await;
    let (reason, message) = refusal(Running::try_start(&launch("wrong")).await);
    assert_eq!((reason, &message[..18]), (Reason::AccessDenied, "no token could be "));
    assert!(!message.contains("wrong"));
}

#[tokio::test]
async fn tokens_are_not_sent_over_a_network_in_the_open() {
    let server = Fake::start();
    let launch = server.launch().parameter("endpoint", "http://store.example/me");
    let launch = launch.parameter("credentials.type", "managed_identity");
    let (reason, message) = refusal(Running::try_start(&launch).await);
    assert_eq!(reason, Reason::ConfigInvalid);
    assert!(message.contains("https:// only"), "{message}");
}

#[tokio::test]
async fn a_query_lets_in_and_is_not_passed_on() {
    let server = Fake::start();
    let driver = Running::start(&server.launch().parameter("sastoken", "?sv=2026-04-06&sig=secret")).await.unwrap();
    driver.put("/a", "content").await.unwrap();
    assert!(!driver.capabilities().redirect, "there is nothing to sign URLs with");
    assert!(server.state().authorizations.is_empty());
}
