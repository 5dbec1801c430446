//! Requests that would be misread, whatever they ask for.

use reqwest::header::{IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Setup};

#[tokio::test]
async fn a_request_names_one_host_and_no_coding_but_chunked() {
    let registry = Setup::memory().start().await;
    let rows = [
        ("HTTP/1.1\r\nHost: x\r\n", "HTTP/1.1 200"),
        ("HTTP/1.1\r\nHost:\r\n", "HTTP/1.1 200"),
        ("HTTP/1.0\r\n", "HTTP/1.0 200"),
        ("HTTP/1.1\r\n", "HTTP/1.1 400"),
        ("HTTP/1.1\r\nHost: a b/c\r\n", "HTTP/1.1 400"),
        ("HTTP/1.1\r\nHost: x:5000\r\n", "HTTP/1.1 200"),
        ("HTTP/1.1\r\nHost: [::1]:5000\r\n", "HTTP/1.1 200"),
        ("HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n", "HTTP/1.1 501"),
        ("HTTP/1.1\r\nHost: x\r\nHost: y\r\n", "HTTP/1.1 400"),
        ("HTTP/1.0\r\nHost: x\r\nHost: y\r\n", "HTTP/1.0 400"),
    ];
    for (head, status) in rows {
        let mut stream = TcpStream::connect(registry.base().strip_prefix("http://").unwrap()).await.unwrap();
        stream.write_all(format!("GET /v2/ {head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(status), "{head}: {answer}");
    }
}

#[tokio::test]
async fn a_change_on_a_condition_is_not_made() {
    let registry = Setup::memory().start().await;
    let digest = registry.push_blob("a", "content").await;
    let blob = format!("/v2/a/blobs/{digest}");
    let rows = [(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "*"), (IF_UNMODIFIED_SINCE, "Wed, 21 Oct 2026 07:28:00 GMT")];
    for (name, value) in rows {
        let request = registry.request(Method::DELETE, &blob).header(name, value);
        Answer::to(request).await.expect_error(StatusCode::BAD_REQUEST, "UNSUPPORTED");
        registry.head(&blob).await.expect(StatusCode::OK);
    }
}
