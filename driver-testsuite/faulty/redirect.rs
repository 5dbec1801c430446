//! A web server on loopback that gives content to whoever has a URL signed for its path and method.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use storagedriver_proto::Path;
use storagedriver_proto::v1alpha1::RedirectUrlRequest;
use storagedriver_proto::v1alpha1::redirect_url_request::Method;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::failure::{Result, failure};
use crate::fault::Fault;
use crate::hello::random;
use crate::service::blocking;
use crate::store::Store;

const HEAD_MAX: usize = 16 << 10;
const CHUNK: usize = 256 << 10;

/// The server, as long as the process lives.
pub(crate) struct Redirects {
    port: u16,
    key: Key,
}

#[derive(Clone)]
struct Key(String);

struct Site {
    store: Arc<Store>,
    key: Key,
}

/// A request, as far as it matters here.
struct Asked {
    method: String,
    path: String,
    query: String,
    range: Option<String>,
}

impl Redirects {
    pub(crate) async fn start(store: Arc<Store>, secret: String) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let key = Key(format!("{secret}{:x}{:x}", random(), random()));
        let site = Arc::new(Site { store, key: key.clone() });
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&site).answer(stream))),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        Ok(Redirects { port, key })
    }

    pub(crate) fn url(&self, path: &Path, request: &RedirectUrlRequest) -> Result<String> {
        let expires_in = request.expires_in.and_then(|time| Duration::try_from(time).ok());
        let expires_in = expires_in.filter(|time| !time.is_zero());
        let expires_in = expires_in.ok_or_else(|| failure(Reason::RequestInvalid, "expires_in is a time to come"))?;
        let method = if request.method() == Method::Head { "HEAD" } else { "GET" };
        let expires = (since_epoch() + expires_in).as_millis();
        let signature = self.key.sign(method, path.as_str(), expires);
        Ok(format!("http://127.0.0.1:{}{path}?expires={expires}&signature={signature}", self.port))
    }
}

impl Key {
    fn sign(&self, method: &str, path: &str, expires: u128) -> String {
        let path = if Fault::UrlAnyPath.on() { "" } else { path };
        let method = if Fault::UrlAnyMethod.on() { "" } else { method };
        let mut hasher = DefaultHasher::new();
        (&self.0, method, path, expires).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// Whether the URL was given for this, and is still good.
    fn admits(&self, asked: &Asked) -> bool {
        let value = |name: &str| asked.query.split('&').find_map(|pair| pair.strip_prefix(name));
        let Some(expires) = value("expires=").and_then(|text| text.parse().ok()) else { return false };
        let signature = self.sign(&asked.method, &asked.path, expires);
        value("signature=") == Some(&signature) && (Fault::UrlNeverExpires.on() || since_epoch().as_millis() < expires)
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Site {
    async fn answer(self: Arc<Self>, mut stream: TcpStream) {
        // A client that is gone needs no answer.
        let Ok(Some(asked)) = Asked::read(&mut stream).await else { return };
        let _ = self.serve(&asked, &mut stream).await;
        let _ = stream.shutdown().await;
    }

    async fn serve(&self, asked: &Asked, stream: &mut TcpStream) -> io::Result<()> {
        if Fault::UrlNeedsCredentials.on() {
            return stream.write_all(&head("401 Unauthorized", 0, "WWW-Authenticate: Basic\r\n")).await;
        }
        let is_method = Fault::UrlAnyMethod.on() || matches!(asked.method.as_str(), "GET" | "HEAD");
        if !is_method || !self.key.admits(asked) {
            return stream.write_all(&head("403 Forbidden", 0, "")).await;
        }
        let (store, path) = (Arc::clone(&self.store), Path::parse(&asked.path));
        let opened = blocking(move || store.open_content(&path.unwrap_or_else(|_| Path::root()))).await;
        let Ok((file, info)) = opened else {
            if Fault::UrlOfNothing.on() {
                return stream.write_all(&head("200 OK", 0, "")).await;
            }
            return stream.write_all(&head("404 Not Found", 0, "")).await;
        };
        let (status, extra, from, to) =
            match range(asked.range.as_deref().filter(|_| !Fault::UrlNoRange.on()), info.size) {
                Range::Whole => ("200 OK", String::new(), 0, info.size),
                Range::Part(from, to) => (
                    "206 Partial Content",
                    format!("Content-Range: bytes {from}-{}/{}\r\n", to - 1, info.size),
                    from,
                    to,
                ),
                Range::None => ("416 Range Not Satisfiable", format!("Content-Range: bytes */{}\r\n", info.size), 0, 0),
            };
        stream.write_all(&head(status, to - from, &extra)).await?;
        let end = if asked.method == "HEAD" { from } else { to };
        let (file, mut offset) = (Arc::new(file), from);
        while offset < end {
            let file = Arc::clone(&file);
            let mut chunk = vec![0; usize::try_from(end - offset).unwrap_or(CHUNK).min(CHUNK)];
            let read = blocking(move || Ok((file.read_at(&mut chunk, offset)?, chunk))).await;
            let (length, chunk) = read.map_err(|failure| io::Error::other(failure.message))?;
            if length == 0 {
                return Ok(());
            }
            stream.write_all(&chunk[..length]).await?;
            offset += length as u64;
        }
        Ok(())
    }
}

fn head(status: &str, length: u64, extra: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\n\
         Content-Length: {length}\r\nConnection: close\r\n{extra}\r\n"
    )
    .into_bytes()
}

enum Range {
    Whole,
    Part(u64, u64),
    None,
}

/// One range of bytes; of a header with others the whole is given, which HTTP allows.
fn range(header: Option<&str>, size: u64) -> Range {
    let Some((first, last)) = header.and_then(|header| header.strip_prefix("bytes=")?.split_once('-')) else {
        return Range::Whole;
    };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), _) if first >= size => Range::None,
        (Ok(first), Ok(last)) if first <= last => Range::Part(first, last.saturating_add(1).min(size)),
        (Ok(first), Err(_)) if last.is_empty() => Range::Part(first, size),
        (Err(_), Ok(0)) if first.is_empty() => Range::None,
        (Err(_), Ok(last)) if first.is_empty() && size > 0 => Range::Part(size - last.min(size), size),
        _ => Range::Whole,
    }
}

impl Asked {
    async fn read(stream: &mut TcpStream) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > HEAD_MAX || stream.read_buf(&mut head).await? == 0 {
                return Ok(None);
            }
        }
        Ok(Self::parse(&String::from_utf8_lossy(&head)))
    }

    fn parse(head: &str) -> Option<Self> {
        let (request, headers) = head.split_once("\r\n")?;
        let mut words = request.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut fields = headers.lines().filter_map(|line| line.split_once(':'));
        let range =
            fields.find(|(name, _)| name.eq_ignore_ascii_case("range")).map(|(_, value)| value.trim().to_owned());
        Some(Asked { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), range })
    }
}
