//! Blobs that the driver hands over as open files, and the kernel sends: what a client gets is what it would get anyway.

use std::fs::{self, File};
use std::path::PathBuf;

use bytes::Bytes;
use reqwest::header::RANGE;
use reqwest::{Client, Method, StatusCode};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::pushing::content;
use crate::support::{Registry, Setup, eventually};

/// More than the sockets between two processes take.
const LARGE: usize = 24 << 20;

fn get(host: &str, digest: &str, more: &str) -> String {
    format!("GET /v2/a/b/blobs/{digest} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")
}

async fn connect(registry: &Registry, requests: &str) -> TcpStream {
    let mut stream = TcpStream::connect(registry.base().strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(requests.as_bytes()).await.unwrap();
    stream
}

/// The files of the store that this process holds open.
fn open_files(registry: &Registry) -> Vec<PathBuf> {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", registry.pid())).unwrap();
    let files = descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
    files.filter(|file| file.starts_with(registry.setup().data())).collect()
}

fn blob_file(registry: &Registry, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    registry.setup().data().join("docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_range_comes_from_the_file_over_every_version_of_http() {
    let registry = Setup::filesystem().start().await;
    let content = content(LARGE);
    let digest = registry.push_blob("a/b", content.clone()).await;
    let second = Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let end = LARGE - 1;
    let rows = [(0, 0), (0, end), (end, end), (1 << 20, (1 << 20) + 1), (4095, 3 << 20), ((1 << 20) - 1, end - 1)];
    for (first, last) in rows {
        let range = format!("bytes={first}-{last}");
        let request = registry.request(Method::GET, &format!("/v2/a/b/blobs/{digest}"));
        let first_version = request.header(RANGE, &range).send().await.unwrap();
        assert_eq!(first_version.status(), StatusCode::PARTIAL_CONTENT);
        let url = registry.url(&format!("/v2/a/b/blobs/{digest}"));
        let second_version = second.get(url).header(RANGE, &range).send().await.unwrap();
        for answer in [first_version, second_version] {
            assert!(answer.bytes().await.unwrap() == content[first..=last], "{range}");
        }
    }
}

#[tokio::test]
async fn responses_on_one_connection_follow_each_other_whole() {
    let registry = Setup::filesystem().start().await;
    let (large, small) = (content(LARGE), Bytes::from_static(b"small"));
    let digests = [registry.push_blob("a/b", large.clone()).await, registry.push_blob("a/b", small.clone()).await];
    let [large_digest, small_digest] = &digests;
    let requests =
        [get("h", large_digest, ""), get("h", small_digest, ""), get("h", large_digest, "Connection: close\r\n")];
    let mut stream = connect(&registry, &requests.concat()).await;
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).await.unwrap();
    for expected in [&large, &small, &large] {
        let head = answers.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        assert!(answers[head..].starts_with(expected));
        answers.drain(..head + expected.len());
    }
    assert!(answers.is_empty());
}

#[tokio::test]
async fn a_registry_on_a_unix_socket_sends_files_too() {
    let content = content(LARGE);
    let mut pushed = Setup::filesystem().start().await;
    let digest = pushed.push_blob("a/b", content.clone()).await;
    pushed.signal(Signal::TERM);
    pushed.ended().await;
    let setup = Setup::unsaid();
    let socket = setup.folder().join("registry.sock");
    let setup = setup.set("http.net", "unix").set("http.addr", socket.to_str().unwrap());
    let _registry = setup.argument("--data").argument(pushed.setup().data()).start().await;
    let mut stream = UnixStream::connect(&socket).await.unwrap();
    stream.write_all(get("h", &digest, "Connection: close\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(&content));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_file_open() {
    let registry = Setup::filesystem().start().await;
    let digest = registry.push_blob("a/b", content(LARGE)).await;
    let mut stream = connect(&registry, &get("h", &digest, "")).await;
    stream.read_exact(&mut [0; 1000]).await.unwrap();
    let is_open = || std::future::ready(Some(()).filter(|()| open_files(&registry).len() == 1));
    eventually("a file is being sent", is_open).await;
    drop(stream);
    let is_closed = || std::future::ready(Some(()).filter(|()| open_files(&registry).is_empty()));
    eventually("no file is open", is_closed).await;
}

#[tokio::test]
async fn a_blob_that_is_deleted_and_a_driver_that_dies_do_not_stop_who_is_reading() {
    let registry = Setup::filesystem().start().await;
    let content = content(LARGE);
    let digest = registry.push_blob("a/b", content.clone()).await;
    let mut stream = connect(&registry, &get("h", &digest, "Connection: close\r\n")).await;
    let mut answer = vec![0; 1000];
    stream.read_exact(&mut answer).await.unwrap();
    fs::remove_file(blob_file(&registry, &digest)).unwrap();
    registry.signal_driver(Signal::KILL).await;
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(&content));
}

#[tokio::test]
async fn a_file_that_becomes_shorter_breaks_the_answer_off() {
    let registry = Setup::filesystem().start().await;
    let digest = registry.push_blob("a/b", content(LARGE)).await;
    let mut stream = connect(&registry, &get("h", &digest, "")).await;
    let mut answer = vec![0; 1000];
    stream.read_exact(&mut answer).await.unwrap();
    let file = File::options().write(true).open(blob_file(&registry, &digest)).unwrap();
    file.set_len(LARGE as u64 / 2).unwrap();
    let _reset_or_ended = stream.read_to_end(&mut answer).await;
    assert!(answer.len() < LARGE, "{} bytes", answer.len());
    let again = registry.get(&format!("/v2/a/b/blobs/{digest}")).await;
    assert_eq!(again.body.len(), LARGE / 2, "the registry lives on");
}
