//! A driver on another machine: both sides show certificates, and a stranger gets no answer.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use super::fake::{Script, client_of, service};
use super::{Place, path};
use crate::driver::settings::{Endpoint, TlsFiles};
use crate::driver::{DriverErrorKind, RedirectMethod};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of `authority`, and its key.
fn certified(authority: &Authority) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (parameters.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

/// A driver that answers to clients of `authority`, and its URL.
async fn driver(authority: &Authority) -> (AbortOnDropHandle<()>, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let (certificate, key) = certified(authority);
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(authority.pem()));
    let service = service(&Arc::new(Mutex::new(Script::default())));
    let serving = Server::builder().tls_config(tls).unwrap().add_service(service);
    let serving = serving.serve_with_incoming(TcpListenerStream::new(listener));
    (AbortOnDropHandle::new(tokio::spawn(async move { serving.await.unwrap() })), url)
}

/// The files of a client that trusts `trusted` and is certified by `own`.
fn files(place: &Place, trusted: &Authority, own: &Authority) -> TlsFiles {
    let (certificate, key) = certified(own);
    let write = |name: &str, pem: String| {
        std::fs::write(place.file(name), pem).unwrap();
        place.file(name)
    };
    TlsFiles {
        authority: write("authority.pem", trusted.pem()),
        certificate: write("certificate.pem", certificate),
        key: write("key.pem", key),
    }
}

#[tokio::test]
async fn only_who_is_certified_on_both_sides_is_talked_to() {
    let (ours, theirs) = (authority(), authority());
    let (_driver, url) = driver(&ours).await;
    let place = Place::new();
    let client = client_of(&Endpoint::Https { url: url.clone(), tls: files(&place, &ours, &ours) });
    client.put(&path("/a"), Bytes::from_static(b"kept")).await.unwrap();
    assert_eq!(client.get(&path("/a"), 4).await.unwrap(), "kept");
    for (trusted, own) in [(&ours, &theirs), (&theirs, &ours)] {
        let client = client_of(&Endpoint::Https { url: url.clone(), tls: files(&place, trusted, own) });
        let hour = Duration::from_secs(3600);
        let refused = client.redirect_url(&path("/a"), RedirectMethod::Get, hour, None).await.unwrap_err();
        assert_eq!(refused.kind(), DriverErrorKind::Unavailable);
    }
}
