//! A server for tests, in memory: as much of the service, and of who gives tokens for it, as it takes to do wrong.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use driver_testsuite::Launch;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use tokio_rustls::TlsAcceptor;

const ACCOUNT: &str = "me";
const CONTAINER: &str = "registry";

type Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

/// An answer that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) retry_after: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Object {
    pub(crate) content: Bytes,
    etag: u64,
    /// Written piece by piece: nothing but a deletion replaces it.
    pub(crate) is_appended: bool,
    /// `pending`, `success`, `aborted`: of the copy that it is.
    copy: Option<&'static str>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) objects: BTreeMap<String, Object>,
    pub(crate) fails: Option<Failure>,
    /// The server's clock is late by so much.
    pub(crate) late: Duration,
    /// Bodies break off after so many bytes.
    pub(crate) cut_after: Option<usize>,
    /// What is told of a copy, one look after the other; the last word is final.
    pub(crate) copies: Vec<&'static str>,
    /// How requests are let in.
    pub(crate) authorizations: Vec<String>,
    /// What was sent to get a token.
    pub(crate) asked_for_tokens: Vec<String>,
    writes: u64,
}

/// A running server, which ends when it is dropped.
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        Self::run(None)
    }

    pub(crate) fn start_tls(acceptor: TlsAcceptor) -> Self {
        Self::run(Some(acceptor))
    }

    fn run(acceptor: Option<TlsAcceptor>) -> Self {
        let runtime = RuntimeBuilder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(accept(listener, acceptor, Arc::clone(&state)));
        Fake { state, address, runtime: Some(runtime) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A driver on this server, without credentials.
    pub(crate) fn launch(&self) -> Launch {
        Launch::new(env!("CARGO_BIN_EXE_bulkhead-driver-azure"))
            .parameter("endpoint", &format!("http://{}/{ACCOUNT}", self.address))
            .parameter("accountname", ACCOUNT)
            .parameter("container", CONTAINER)
            .parameter("uploadmaxdays", "0")
    }

    /// A driver with the account's key.
    pub(crate) fn launch_with_key(&self) -> Launch {
        self.launch().parameter("accountkey", "a2V5")
    }

    pub(crate) fn put(&self, key: &str, content: &'static str) {
        let object = Object { content: content.into(), etag: 1, ..Object::default() };
        self.state().objects.insert(key.to_owned(), object);
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: std::net::TcpListener, acceptor: Option<TlsAcceptor>, state: Arc<Mutex<State>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((connection, _)) = listener.accept().await {
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            match acceptor {
                Some(acceptor) => {
                    if let Ok(connection) = acceptor.accept(connection).await {
                        serve(connection, state).await;
                    }
                }
                None => serve(connection, state).await,
            }
        });
    }
}

async fn serve(connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            Ok::<_, Infallible>(state.answer(&Request::from_parts(head, body)))
        }
    });
    // A client that is gone is none of the server's business.
    let _ended = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), service).await;
}

/// An answer with a body that may break off.
fn reply(status: u16, headers: &[(&str, String)], body: impl Into<Bytes>, cut: Option<usize>) -> Response<Body> {
    let body = body.into();
    let mut response = Response::builder().status(status).header("content-length", body.len());
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    let cut = cut.filter(|cut| *cut < body.len());
    let whole = stream::iter([Ok(Frame::data(body.slice(..cut.unwrap_or(body.len()))))]);
    // What was sent before is to arrive.
    let end = stream::iter(cut).then(async |_| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(std::io::Error::other("cut"))
    });
    response.body(BodyExt::boxed(StreamBody::new(whole.chain(Box::pin(end))))).unwrap()
}

impl State {
    fn answer(&mut self, request: &Request<Bytes>) -> Response<Body> {
        let path = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
        if let Some(answer) = self.token(request, &path) {
            return answer;
        }
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        self.authorizations.extend(authorization);
        if let Some(Failure { status, code, retry_after }) = self.fails {
            let mut headers = vec![("x-ms-error-code", code.to_owned()), ("date", self.date())];
            headers.extend(retry_after.map(|seconds| ("retry-after", seconds.to_string())));
            return reply(status, &headers, Bytes::new(), None);
        }
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
        let asked = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let key = path.strip_prefix(&format!("/{ACCOUNT}/{CONTAINER}/")).map(str::to_owned);
        match (request.method(), asked("comp"), key) {
            (_, "list", None) => self.list(asked("prefix"), asked("delimiter")),
            (_, "userdelegationkey", None) => delegation_key(),
            (_, "lease", Some(key)) => self.lease(&key),
            (_, "copy", Some(key)) => self.end_copy(&key),
            (&Method::PUT, "", Some(key)) => self.put(&key, request),
            (&Method::GET | &Method::HEAD, "", Some(key)) => self.get(&key, request),
            (&Method::DELETE, "", Some(key)) => match self.objects.remove(&key) {
                Some(_) => reply(202, &[], Bytes::new(), None),
                None => missing(),
            },
            _ => reply(400, &[("x-ms-error-code", "InvalidQueryParameterValue".to_owned())], Bytes::new(), None),
        }
    }

    fn date(&self) -> String {
        httpdate::fmt_http_date(SystemTime::now() - self.late)
    }

    /// Of the endpoint of a managed identity, or of the directory.
    fn token(&mut self, request: &Request<Bytes>, path: &str) -> Option<Response<Body>> {
        let asked = match path {
            "/identity" => format!("{} {}", request.uri(), request.headers().get("x-identity-header")?.to_str().ok()?),
            path if path.ends_with("/oauth2/v2.0/token") => {
                format!("{path} {}", String::from_utf8_lossy(request.body()))
            }
            _ => return None,
        };
        let is_wrong = asked.contains("wrong");
        self.asked_for_tokens.push(asked);
        if is_wrong {
            let body = r#"{"error":"invalid_client","error_codes":[7000215],"error_description":"no"}"#;
            return Some(reply(401, &[], Bytes::from_static(body.as_bytes()), None));
        }
        let until = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 3600;
        let token = format!(
            r#"{{"token_type":"Bearer","access_token":"a-token","expires_in":3600,"ext_expires_in":3600,
                "expires_on":"{until}","resource":"https://storage.azure.com"}}"#
        );
        Some(reply(200, &[("content-type", "application/json".to_owned())], token, None))
    }

    fn list(&self, prefix: &str, delimiter: &str) -> Response<Body> {
        let (mut items, mut last) = (String::new(), String::new());
        for (key, object) in self.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
            match key[prefix.len()..].find('/').filter(|_| !delimiter.is_empty()) {
                Some(end) => {
                    let folder = &key[..prefix.len() + end + 1];
                    if folder != last {
                        folder.clone_into(&mut last);
                        items.push_str(&format!("<BlobPrefix><Name>{folder}</Name></BlobPrefix>"));
                    }
                }
                None => items.push_str(&self.item(key, object)),
            }
        }
        let page = format!("<EnumerationResults><Blobs>{items}</Blobs><NextMarker/></EnumerationResults>");
        reply(200, &[], page, None)
    }

    fn item(&self, key: &str, object: &Object) -> String {
        let copy = object.copy.map(|copy| format!("<CopyStatus>{copy}</CopyStatus>")).unwrap_or_default();
        format!(
            "<Blob><Name>{key}</Name><Properties><Last-Modified>{}</Last-Modified><Etag>{}</Etag>\
             <Content-Length>{}</Content-Length>{copy}</Properties></Blob>",
            self.date(),
            object.etag,
            object.content.len()
        )
    }

    fn lease(&self, key: &str) -> Response<Body> {
        let status = if self.objects.contains_key(key) { 201 } else { 404 };
        // Both of taking and of giving back, which have an answer of their own.
        let status = if status == 201 { 200 } else { status };
        match status {
            404 => missing(),
            _ => reply(201, &[("x-ms-lease-id", "l".to_owned())], Bytes::new(), None),
        }
    }

    fn put(&mut self, key: &str, request: &Request<Bytes>) -> Response<Body> {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
        let there = self.objects.get(key);
        if there.is_some_and(|there| there.is_appended) {
            return reply(409, &[("x-ms-error-code", "InvalidBlobType".to_owned())], Bytes::new(), None);
        }
        if there.is_some() && header("if-none-match") == Some("*") {
            return reply(409, &[("x-ms-error-code", "BlobAlreadyExists".to_owned())], Bytes::new(), None);
        }
        self.writes += 1;
        let mut object = Object { content: request.body().clone(), etag: self.writes, ..Object::default() };
        if let Some(source) = header("x-ms-copy-source") {
            let source = percent_decode_str(source).decode_utf8_lossy().into_owned();
            let from = source.split('?').next().unwrap().rsplit_once(&format!("/{CONTAINER}/")).unwrap().1;
            let Some(original) = self.objects.get(from) else { return missing() };
            object.copy = Some(self.copies.first().copied().unwrap_or("success"));
            object.content = original.content.clone();
        }
        let mut headers = self.headers(&object);
        headers.retain(|(name, _)| *name != "content-length");
        let status = if object.copy.is_some() { 202 } else { 201 };
        self.objects.insert(key.to_owned(), object);
        reply(status, &headers, Bytes::new(), None)
    }

    fn headers(&self, object: &Object) -> Vec<(&'static str, String)> {
        let mut headers = vec![("etag", format!("\"{}\"", object.etag)), ("last-modified", self.date())];
        if let Some(copy) = object.copy {
            headers.extend([("x-ms-copy-id", "a-copy".to_owned()), ("x-ms-copy-status", copy.to_owned())]);
        }
        headers
    }

    fn end_copy(&mut self, key: &str) -> Response<Body> {
        if let Some(object) = self.objects.get_mut(key) {
            (object.copy, object.content) = (Some("aborted"), Bytes::new());
        }
        reply(204, &[], Bytes::new(), None)
    }

    fn get(&mut self, key: &str, request: &Request<Bytes>) -> Response<Body> {
        let Some(object) = self.objects.get_mut(key) else { return missing() };
        if object.copy == Some("pending") {
            self.copies = self.copies.split_off(self.copies.len().min(1));
            object.copy = Some(self.copies.first().copied().unwrap_or("pending"));
        }
        let object = object.clone();
        let size = object.content.len();
        let range = request.headers().get("range").and_then(|range| range.to_str().ok());
        let (first, last) = range.map_or((0, size), |range| bounds(range, size));
        let mut headers = self.headers(&object);
        if range.is_some() {
            headers.push(("content-range", format!("bytes {first}-{}/{size}", last.saturating_sub(1))));
        }
        let status = if range.is_some() { 206 } else { 200 };
        reply(status, &headers, object.content.slice(first..last), self.cut_after)
    }
}

fn bounds(range: &str, size: usize) -> (usize, usize) {
    let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap();
    let last = last.parse().map_or(size, |last: usize| (last + 1).min(size));
    (first.parse().unwrap(), last)
}

fn missing() -> Response<Body> {
    reply(404, &[("x-ms-error-code", "BlobNotFound".to_owned())], Bytes::new(), None)
}

fn delegation_key() -> Response<Body> {
    let key = "<UserDelegationKey><SignedOid>o</SignedOid><SignedTid>t</SignedTid>\
        <SignedStart>2026-01-01T00:00:00Z</SignedStart><SignedExpiry>2099-01-01T00:00:00Z</SignedExpiry>\
        <SignedService>b</SignedService><SignedVersion>2020-12-06</SignedVersion><Value>a2V5</Value></UserDelegationKey>";
    reply(200, &[], Bytes::from_static(key.as_bytes()), None)
}
