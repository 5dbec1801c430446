//! Blobs: GET with its conditions and ranges, HEAD, DELETE, and who can see what.

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, IF_NONE_MATCH, IF_RANGE, RANGE};
use reqwest::{Method, StatusCode};

use crate::pushing::{content, setups};
use crate::support::{Answer, Registry, Setup, sha256};

const UNKNOWN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

async fn ask(
    registry: &Registry,
    method: Method,
    digest: &str,
    headers: &[(reqwest::header::HeaderName, &str)],
) -> Answer {
    let mut request = registry.request(method, &format!("/v2/a/b/blobs/{digest}"));
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    Answer::to(request).await
}

#[tokio::test]
async fn get_and_head_say_the_same() {
    for setup in setups() {
        let registry = setup.start().await;
        for length in [0, 1, 4096, (3 << 20) + 17] {
            let content = content(length);
            let digest = registry.push_blob("a/b", content.clone()).await;
            let path = format!("/v2/a/b/blobs/{digest}");
            let (get, head) = (registry.get(&path).await, registry.head(&path).await);
            assert_eq!((&get.body, head.body.len()), (&content, 0));
            for answer in [get, head] {
                let answer = answer.expect(StatusCode::OK);
                assert_eq!(answer.header("content-length"), length.to_string());
                assert_eq!(answer.header("content-type"), "application/octet-stream");
                assert_eq!(answer.header("docker-content-digest"), digest);
                assert_eq!(answer.header("etag"), format!("\"{digest}\""));
                assert_eq!(answer.header("accept-ranges"), "bytes");
                assert_eq!(answer.header("cache-control"), "max-age=31536000, immutable");
            }
        }
    }
}

#[tokio::test]
async fn a_blob_is_seen_only_where_it_was_pushed() {
    for setup in setups() {
        let registry = setup.start().await;
        let digest = registry.push_blob("a/b", "content").await;
        for (name, digest) in [("a", &*digest), ("a/b/c", &digest), ("a/b", UNKNOWN)] {
            let path = format!("/v2/{name}/blobs/{digest}");
            registry.get(&path).await.expect_error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
            registry.head(&path).await.expect(StatusCode::NOT_FOUND);
        }
        for digest in ["sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "latest"] {
            let answer = registry.get(&format!("/v2/a/b/blobs/{digest}")).await;
            answer.expect_error(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
        }
    }
}

#[tokio::test]
async fn a_client_that_has_the_blob_is_not_sent_it_again() {
    let registry = Setup::memory().start().await;
    let digest = registry.push_blob("a/b", "content").await;
    let rows = [
        (format!("\"{digest}\""), StatusCode::NOT_MODIFIED),
        (format!("W/\"{digest}\""), StatusCode::NOT_MODIFIED),
        (format!("\"other\", \"{digest}\""), StatusCode::NOT_MODIFIED),
        ("*".to_owned(), StatusCode::NOT_MODIFIED),
        ("\"other\"".to_owned(), StatusCode::OK),
    ];
    for (tags, status) in rows {
        for method in [Method::GET, Method::HEAD] {
            let answer = ask(&registry, method, &digest, &[(IF_NONE_MATCH, &tags)]).await.expect(status);
            assert_eq!(answer.header("docker-content-digest"), digest, "{tags}");
        }
    }
    let unknown = ask(&registry, Method::GET, UNKNOWN, &[(IF_NONE_MATCH, "*")]).await;
    unknown.expect_error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn one_range() {
    let size = (1 << 20) + 100;
    let content = content(size);
    for setup in setups() {
        let registry = setup.start().await;
        let digest = registry.push_blob("a/b", content.clone()).await;
        let rows = [
            ("bytes=0-0".to_owned(), 0..1),
            ("bytes=10-19".to_owned(), 10..20),
            (format!("bytes={}-", size - 10), size - 10..size),
            ("bytes=-5".to_owned(), size - 5..size),
            ("bytes=300000-99999999999".to_owned(), 300_000..size),
            ("bytes=0-".to_owned(), 0..size),
        ];
        for (range, part) in rows {
            let answer = ask(&registry, Method::GET, &digest, &[(RANGE, &range)]).await;
            let answer = answer.expect(StatusCode::PARTIAL_CONTENT);
            assert_eq!(answer.body, content.slice(part.clone()), "{range}");
            assert_eq!(answer.header("content-length"), part.len().to_string());
            assert_eq!(answer.header("content-range"), format!("bytes {}-{}/{size}", part.start, part.end - 1));
            assert_eq!(answer.header("docker-content-digest"), digest);
        }
    }
}

#[tokio::test]
async fn ranges_that_do_not_apply() {
    let registry = Setup::memory().start().await;
    let digest = registry.push_blob("a/b", "0123456789").await;
    for range in ["bytes=10-", "bytes=5-0", "bytes=100-200", "bytes=x", "bytes=-0"] {
        let answer = ask(&registry, Method::GET, &digest, &[(RANGE, range)]).await;
        let answer = answer.expect_error(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID");
        assert_eq!(answer.header("content-range"), "bytes */10", "{range}");
    }
    let (ours, other) = (format!("\"{digest}\""), "\"other\"");
    let rows: [(Method, &[_], StatusCode); 5] = [
        (Method::GET, &[(RANGE, "lines=1-2")], StatusCode::OK),
        (Method::HEAD, &[(RANGE, "bytes=1-2")], StatusCode::OK),
        (Method::GET, &[(RANGE, "bytes=1-2"), (IF_RANGE, other)], StatusCode::OK),
        (Method::GET, &[(RANGE, "bytes=1-2"), (IF_RANGE, &ours)], StatusCode::PARTIAL_CONTENT),
        (Method::GET, &[(RANGE, "bytes=1-2"), (IF_NONE_MATCH, &ours)], StatusCode::NOT_MODIFIED),
    ];
    for (method, headers, status) in rows {
        ask(&registry, method, &digest, headers).await.expect(status);
    }
}

#[tokio::test]
async fn several_ranges_come_in_one_message() {
    let size = 2 << 20;
    let content = content(size);
    for setup in setups() {
        let registry = setup.start().await;
        let digest = registry.push_blob("a/b", content.clone()).await;
        let range = format!("bytes=5-9, 0-0, 262140-1000000, -3, {size}-");
        let answer = ask(&registry, Method::GET, &digest, &[(RANGE, &range)]).await;
        let answer = answer.expect(StatusCode::PARTIAL_CONTENT);
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        assert!(!answer.headers.contains_key(CONTENT_RANGE));
        let boundary = answer.header(CONTENT_TYPE.as_str()).strip_prefix("multipart/byteranges; boundary=").unwrap();
        let mut expected = Vec::new();
        for part in [5..10, 0..1, 262_140..1_000_001, size - 3..size] {
            let place = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            let head =
                format!("--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {place}\r\n\r\n");
            expected.extend_from_slice(b"\r\n");
            expected.extend_from_slice(head.as_bytes());
            expected.extend_from_slice(&content[part]);
        }
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert!(answer.body == expected, "the parts are not as asked for");
    }
}

#[tokio::test]
async fn a_deleted_blob_is_gone_at_once_and_only_here() {
    for setup in setups() {
        let registry = setup.start().await;
        let digest = registry.push_blob("a/b", "content").await;
        registry.push_blob("other", "content").await;
        let path = format!("/v2/a/b/blobs/{digest}");
        registry.delete(&path).await.expect(StatusCode::ACCEPTED);
        registry.head(&path).await.expect(StatusCode::NOT_FOUND);
        registry.delete(&path).await.expect_error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
        registry.get(&format!("/v2/other/blobs/{digest}")).await.expect(StatusCode::OK);
        registry.push_blob("a/b", "content").await;
        registry.get(&path).await.expect(StatusCode::OK);
    }
}

/// Writes a file of the store as another registry would have.
fn store(setup: &Setup, path: &str, content: impl AsRef<[u8]>) {
    let file = setup.data().join("docker/registry/v2").join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, content).unwrap();
}

#[tokio::test]
async fn what_another_registry_stored_is_served() {
    let setup = Setup::filesystem();
    let (digest, sha512) = (sha256(b"layer"), format!("sha512:{}", "ab".repeat(64)));
    let hex = digest.strip_prefix("sha256:").unwrap();
    store(&setup, &format!("blobs/sha256/{}/{hex}/data", &hex[..2]), "layer");
    store(&setup, &format!("repositories/a/b/_layers/sha256/{hex}/link"), &digest);
    store(&setup, &format!("repositories/a/b/_layers/{}/link", sha512.replace(':', "/")), &digest);
    for (place, damage) in [("empty", ""), ("garbage", "not a digest"), ("long", &"x".repeat(5000))] {
        store(&setup, &format!("repositories/{place}/_layers/sha256/{hex}/link"), damage);
    }
    let registry = setup.start().await;
    for asked in [&digest, &sha512] {
        let answer = registry.get(&format!("/v2/a/b/blobs/{asked}")).await.expect(StatusCode::OK);
        assert_eq!((&*answer.body, answer.header("docker-content-digest")), (&b"layer"[..], &**asked));
    }
    for place in ["empty", "garbage", "long"] {
        let answer = registry.get(&format!("/v2/{place}/blobs/{digest}")).await;
        answer.expect_error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
        assert_eq!(registry.push_blob(place, "layer").await, digest);
        registry.get(&format!("/v2/{place}/blobs/{digest}")).await.expect(StatusCode::OK);
    }
}
