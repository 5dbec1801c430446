//! Who gives out keys, in memory: the metadata of an instance, the endpoint of a container, and the service that gives a role's
//! keys to who has a token. Every key it gives is a new one, and the server knows it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};

use crate::server::{Key, Keys};

const METADATA_TOKEN: &str = "a-token-for-metadata";
pub(crate) const CONTAINER_TOKEN: &str = "a-token-for-keys";

/// A running authority, which ends when it is dropped.
pub(crate) struct Authority {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

struct State {
    keys: Keys,
    lifetime: Duration,
    given: usize,
    asked: Vec<String>,
}

type Answer = Response<Full<Bytes>>;

impl Authority {
    /// Gives keys that the server with `keys` knows, and that are good for `lifetime`.
    pub(crate) fn start(keys: Keys, lifetime: Duration) -> Self {
        let runtime = RuntimeBuilder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let state = Arc::new(Mutex::new(State { keys, lifetime, given: 0, asked: Vec::new() }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(accept(listener, Arc::clone(&state)));
        Authority { state, address, runtime: Some(runtime) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was sent to get keys.
    pub(crate) fn asked(&self) -> Vec<String> {
        lock(&self.state).asked.clone()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.runtime.take().map(Runtime::shutdown_background).unwrap_or_default();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: std::net::TcpListener, state: Arc<Mutex<State>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((connection, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request: Request<Incoming>| {
            let state = Arc::clone(&state);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let body = String::from_utf8_lossy(&body).into_owned();
                Ok::<_, Infallible>(lock(&state).answer(&Request::from_parts(head, body)))
            }
        });
        tokio::spawn(async move {
            // A client that is gone is none of the server's business.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

impl State {
    fn answer(&mut self, request: &Request<String>) -> Answer {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (path, body) = (request.uri().path(), request.body());
        let authorization = header("authorization");
        let shown = if authorization.starts_with("AWS4") { "signed" } else { authorization };
        self.asked.push(format!("{} {path} {shown} {body}", request.method()));
        match (request.method(), path) {
            (&Method::PUT, "/latest/api/token") if !header("x-aws-ec2-metadata-token-ttl-seconds").is_empty() => {
                reply(200, METADATA_TOKEN)
            }
            (&Method::GET, metadata) if metadata.starts_with("/latest/") => {
                match (header("x-aws-ec2-metadata-token"), metadata.rsplit('/').next()) {
                    (METADATA_TOKEN, Some("")) => reply(200, "a-role"),
                    (METADATA_TOKEN, Some("a-role")) => reply(200, &self.as_json(r#""Code":"Success","#)),
                    _ => reply(401, "no token, no metadata"),
                }
            }
            (&Method::GET, "/keys") if authorization == CONTAINER_TOKEN => reply(200, &self.as_json("")),
            (&Method::POST, "/") if body.contains("WebIdentity") && body.contains("WebIdentityToken=the-account") => {
                reply(200, &self.as_xml("AssumeRoleWithWebIdentity"))
            }
            (&Method::POST, "/") if body.contains("Action=AssumeRole&") && shown == "signed" => {
                reply(200, &self.as_xml("AssumeRole"))
            }
            _ => reply(403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"),
        }
    }

    /// A key that nobody had before.
    fn key(&mut self) -> (Key, String) {
        self.given += 1;
        let until = SystemTime::now() + self.lifetime;
        let number = self.given;
        let key = Key {
            access: format!("ASIA{number:04}"),
            secret: format!("a-secret-{number}"),
            token: Some(format!("a-session-{number}")),
            until: Some(until),
        };
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).push(key.clone());
        (key, DateTime::from(until).fmt(Format::DateTime).unwrap())
    }

    fn as_json(&mut self, more: &str) -> String {
        let (Key { access, secret, token, .. }, until) = self.key();
        let token = token.unwrap_or_default();
        format!(
            r#"{{{more}"Version":1,"Type":"AWS-HMAC","AccessKeyId":"{access}","SecretAccessKey":"{secret}","Token":"{token}","SessionToken":"{token}","LastUpdated":"2026-01-01T00:00:00Z","Expiration":"{until}"}}"#
        )
    }

    fn as_xml(&mut self, action: &str) -> String {
        let (Key { access, secret, token, .. }, until) = self.key();
        let token = token.unwrap_or_default();
        format!(
            "<{action}Response><{action}Result><Credentials><AccessKeyId>{access}</AccessKeyId>\
             <SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>\
             <Expiration>{until}</Expiration></Credentials></{action}Result></{action}Response>"
        )
    }
}

fn reply(status: u16, body: &str) -> Answer {
    // Of a token for metadata; nothing else looks at it.
    let response = Response::builder().status(status).header("x-aws-ec2-metadata-token-ttl-seconds", "21600");
    response.body(Full::from(body.to_owned())).unwrap()
}
