//! Uploads: every way to push, and every way to do it wrong.

use std::path::PathBuf;

use bytes::Bytes;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pushing::{
    UPLOADS, WAYS, Way, assert_stored, begin, close, content, files, offset, patch_at, push, setups, sha512,
};
use crate::support::{Answer, Registry, Setup, sha256};

#[tokio::test]
async fn every_way_to_push() {
    for setup in setups() {
        let registry = setup.start().await;
        for (number, way) in WAYS.into_iter().enumerate() {
            for (query, digest_of) in [
                ("", sha256 as fn(&[u8]) -> String),
                ("", sha512),
                ("?digest-algorithm=sha512", sha512),
                ("?digest-algorithm=sha512", sha256),
            ] {
                let content = content(300_000 + number);
                let digest = digest_of(&content);
                let (answer, location) = push(&registry, way, query, &digest, &content).await;
                let answer = answer.expect(StatusCode::CREATED);
                assert_eq!(answer.header("docker-content-digest"), digest, "{way:?}");
                assert_eq!(answer.header("location"), format!("/v2/a/b/blobs/{digest}"));
                assert_stored(&registry, &digest, &content).await;
                if !location.is_empty() {
                    registry.get(&location).await.expect_error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
                }
                registry.delete(answer.header("location")).await.expect(StatusCode::ACCEPTED);
            }
        }
    }
}

#[tokio::test]
async fn nothing_of_an_upload_stays_beside_its_blob() {
    let setup = Setup::filesystem();
    let registry = setup.start().await;
    for way in WAYS {
        for digest in [sha256(b"some content"), sha512(b"some content")] {
            push(&registry, way, "", &digest, &Bytes::from_static(b"some content")).await.0.expect(StatusCode::CREATED);
        }
    }
    let names = files(&setup);
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.iter().all(|name| name.ends_with("data") || name.ends_with("link")), "{names:?}");
}

#[tokio::test]
async fn the_empty_blob() {
    for setup in setups() {
        let registry = setup.start().await;
        for digest in [sha256(b""), sha512(b"")] {
            for way in [Way::Post, Way::PostPut] {
                push(&registry, way, "", &digest, &Bytes::new()).await.0.expect(StatusCode::CREATED);
                assert_stored(&registry, &digest, &Bytes::new()).await;
            }
            let location = begin(&registry, "").await;
            registry.patch(&location, "").await.expect(StatusCode::ACCEPTED);
            close(&registry, &location, &digest, "").await.expect(StatusCode::CREATED);
        }
    }
}

#[tokio::test]
async fn a_wrong_digest_leaves_nothing() {
    for setup in setups() {
        let registry = setup.start().await;
        for way in WAYS {
            for digest in [sha256(b"other content"), sha512(b"other content")] {
                let (answer, location) = push(&registry, way, "", &digest, &content(5000)).await;
                answer.expect_error(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
                registry.head(&format!("/v2/a/b/blobs/{digest}")).await.expect(StatusCode::NOT_FOUND);
                if !location.is_empty() {
                    registry.get(&location).await.expect_error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
                }
            }
        }
        assert_eq!(files(&setup), Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn a_chunk_out_of_order_is_refused_and_the_upload_goes_on() {
    for setup in setups() {
        let registry = setup.start().await;
        let content = content(90);
        let location = begin(&registry, "").await;
        patch_at(&registry, &location, 10, content.slice(10..20)).await.expect(StatusCode::RANGE_NOT_SATISFIABLE);
        patch_at(&registry, &location, 0, content.slice(..30)).await.expect(StatusCode::ACCEPTED);
        for start in [0, 29, 31, 60] {
            for (method, query) in
                [(Method::PATCH, String::new()), (Method::PUT, format!("?digest={}", sha256(&content)))]
            {
                let range = format!("{start}-{}", start + 9);
                let request = registry.request(method, &format!("{location}{query}"));
                let answer = Answer::to(request.header(CONTENT_RANGE, range).body(content.slice(..10))).await;
                let answer = answer.expect_error(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID");
                assert_eq!((answer.header("range"), answer.header("location")), ("0-29", &*location));
            }
        }
        for answer in [registry.get(&location).await, registry.head(&location).await] {
            let answer = answer.expect(StatusCode::NO_CONTENT);
            assert_eq!((answer.header("range"), answer.header("location")), ("0-29", &*location));
        }
        patch_at(&registry, &location, 30, content.slice(30..60)).await.expect(StatusCode::ACCEPTED);
        let digest = sha256(&content);
        let last = registry.request(Method::PUT, &format!("{location}?digest={digest}"));
        let last = Answer::to(last.header(CONTENT_RANGE, "60-89").body(content.slice(60..))).await;
        last.expect(StatusCode::CREATED);
        assert_stored(&registry, &digest, &content).await;
    }
}

#[tokio::test]
async fn requests_that_make_no_sense() {
    let registry = Setup::memory().start().await;
    let good = sha256(b"x");
    let location = begin(&registry, "").await;
    let nobody = format!("{UPLOADS}019a0000-0000-7000-8000-000000000000");
    let (bad, missing) = (StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND);
    let rows = [
        (Method::POST, format!("{UPLOADS}?digest=sha256:abc"), bad, "DIGEST_INVALID"),
        (Method::POST, format!("{UPLOADS}?digest=md5:d41d8cd98f00b204e9800998ecf8427e"), bad, "DIGEST_INVALID"),
        (Method::POST, format!("{UPLOADS}?digest-algorithm=md5"), bad, "DIGEST_INVALID"),
        (Method::POST, format!("{UPLOADS}?mount=abc&from=a"), bad, "DIGEST_INVALID"),
        (Method::POST, format!("{UPLOADS}?mount={good}&from=A"), bad, "NAME_INVALID"),
        (Method::PUT, location.clone(), bad, "DIGEST_INVALID"),
        (Method::PUT, format!("{location}?digest=x"), bad, "DIGEST_INVALID"),
        (Method::PUT, format!("{location}?digest=sha384:{}", "0".repeat(96)), bad, "DIGEST_INVALID"),
        (Method::GET, nobody.clone(), missing, "BLOB_UPLOAD_UNKNOWN"),
        (Method::PATCH, nobody.clone(), missing, "BLOB_UPLOAD_UNKNOWN"),
        (Method::PUT, format!("{nobody}?digest={good}"), missing, "BLOB_UPLOAD_UNKNOWN"),
        (Method::DELETE, nobody, missing, "BLOB_UPLOAD_UNKNOWN"),
        (Method::GET, location.replace("/a/b/", "/other/"), missing, "BLOB_UPLOAD_UNKNOWN"),
        (Method::GET, format!("{UPLOADS}garbage"), missing, "BLOB_UPLOAD_UNKNOWN"),
        (Method::PATCH, format!("{UPLOADS}..%2e"), missing, "BLOB_UPLOAD_UNKNOWN"),
    ];
    for (method, path, status, code) in rows {
        Answer::to(registry.request(method, &path).body("x")).await.expect_error(status, code);
    }
    let ranges = [
        ("bytes=0-0", StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID"),
        ("0", StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID"),
        ("5-0", StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID"),
        ("0-5", bad, "SIZE_INVALID"),
    ];
    for (range, status, code) in ranges {
        let request = registry.request(Method::PATCH, &location).header(CONTENT_RANGE, range).body("x");
        Answer::to(request).await.expect_error(status, code);
    }
    close(&registry, &location, &good, "x").await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    for setup in setups() {
        let registry = setup.start().await;
        let location = begin(&registry, "").await;
        registry.patch(&location, content(100)).await.expect(StatusCode::ACCEPTED);
        registry.delete(&location).await.expect(StatusCode::NO_CONTENT);
        let put = format!("{location}?digest={}", sha256(b""));
        for (method, path) in
            [(Method::GET, &location), (Method::PATCH, &location), (Method::DELETE, &location), (Method::PUT, &put)]
        {
            let answer = Answer::to(registry.request(method, path)).await;
            answer.expect_error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
        }
        assert_eq!(files(&setup), Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn mounts() {
    for setup in setups() {
        let registry = setup.start().await;
        let stored = registry.push_blob("from", "content").await;
        let unknown = sha512(b"nothing");
        let rows = [
            ("m/one", format!("mount={stored}&from=from"), StatusCode::CREATED),
            ("m/two", format!("mount={stored}"), StatusCode::CREATED),
            ("m/three", format!("mount={stored}&from="), StatusCode::CREATED),
            ("m/four", format!("mount={stored}&from=elsewhere"), StatusCode::ACCEPTED),
            ("m/five", format!("mount={unknown}&from=from"), StatusCode::ACCEPTED),
            ("m/six", format!("mount={unknown}"), StatusCode::ACCEPTED),
        ];
        for (name, query, status) in rows {
            let answer = registry.post(&format!("/v2/{name}/blobs/uploads/?{query}")).await.expect(status);
            let blob = format!("/v2/{name}/blobs/{stored}");
            if status == StatusCode::CREATED {
                assert_eq!((answer.header("location"), answer.header("docker-content-digest")), (&*blob, &*stored));
                assert_eq!(registry.get(&blob).await.expect(StatusCode::OK).body, "content");
            } else {
                registry.get(&blob).await.expect(StatusCode::NOT_FOUND);
                let location = answer.header("location");
                close(&registry, location, &stored, "content").await.expect(StatusCode::CREATED);
            }
        }
    }
}

#[tokio::test]
async fn one_blob_pushed_by_many_at_once() {
    for setup in setups() {
        let registry = setup.start().await;
        let content = content(2_000_000);
        for digest in [sha256(&content), sha512(&content)] {
            let pushes = WAYS.into_iter().chain(WAYS).map(|way| push(&registry, way, "", &digest, &content));
            for (answer, _) in futures::future::join_all(pushes).await {
                answer.expect(StatusCode::CREATED);
            }
            assert_stored(&registry, &digest, &content).await;
        }
    }
}

#[tokio::test]
async fn a_driver_that_persists_only_whole_parts() {
    let registry = Setup::memory().set("storage.memory.granularity", "100000").start().await;
    let content = content(1_250_000);
    for digest in [sha256(&content), sha512(&content)] {
        let answer = registry.post(UPLOADS).await.expect(StatusCode::ACCEPTED);
        assert_eq!(answer.header("oci-chunk-min-length"), "100000");
        let location = answer.header("location");
        let mut start = 0;
        for length in [1, 99_999, 1, 50_000, 49_998, 250_000, 3, 700_000] {
            patch_at(&registry, location, start, content.slice(start..start + length))
                .await
                .expect(StatusCode::ACCEPTED);
            start += length;
            if start > 1 {
                assert_eq!(offset(&registry, location).await, start);
            }
        }
        close(&registry, location, &digest, content.slice(start..)).await.expect(StatusCode::CREATED);
        assert_stored(&registry, &digest, &content).await;
        for way in WAYS {
            push(&registry, way, "", &digest, &content).await.0.expect(StatusCode::CREATED);
        }
    }
}

#[tokio::test]
async fn a_blob_larger_than_the_operator_wants_is_refused() {
    let registry = Setup::memory().set("validation.blobs.maxbytes", "400000").start().await;
    for (length, status) in [(400_000, StatusCode::CREATED), (400_001, StatusCode::PAYLOAD_TOO_LARGE)] {
        let content = content(length);
        let digest = sha256(&content);
        for way in [Way::Post, Way::PostPut] {
            push(&registry, way, "", &digest, &content).await.0.expect(status);
        }
        let location = begin(&registry, "").await;
        registry.patch(&location, content.slice(..300_000)).await.expect(StatusCode::ACCEPTED);
        close(&registry, &location, &digest, content.slice(300_000..)).await.expect(status);
    }
}

#[tokio::test]
async fn a_read_only_registry_writes_nothing() {
    let registry = Setup::filesystem().start().await;
    let digest = registry.push_blob("a/b", "content").await;
    let location = begin(&registry, "").await;
    registry.patch(&location, "123").await.expect(StatusCode::ACCEPTED);
    let setup = registry.setup().clone();
    drop(registry);
    let before = snapshot(&setup);
    let registry = setup.set("storage.maintenance.readonly.enabled", "true").start().await;
    registry.get(&format!("/v2/a/b/blobs/{digest}")).await.expect(StatusCode::OK);
    assert_eq!(offset(&registry, &location).await, 3);
    let put = format!("{location}?digest={digest}");
    let blob = format!("/v2/a/b/blobs/{digest}");
    for (method, path) in [
        (Method::POST, UPLOADS),
        (Method::PATCH, &location),
        (Method::PUT, &put),
        (Method::DELETE, &location),
        (Method::DELETE, &blob),
    ] {
        let answer = Answer::to(registry.request(method, path).body("x")).await;
        answer.expect_error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    }
    assert_eq!(snapshot(registry.setup()), before);
}

/// The files of the store, with what could show that they were written again.
fn snapshot(setup: &Setup) -> Vec<(PathBuf, std::time::SystemTime, Vec<u8>)> {
    let root = setup.data().join("docker/registry/v2");
    let describe = |name: PathBuf| {
        let file = root.join(&name);
        (name, file.metadata().unwrap().modified().unwrap(), std::fs::read(file).unwrap())
    };
    files(setup).into_iter().map(describe).collect()
}

#[tokio::test]
async fn old_uploads_are_purged() {
    let registry = Setup::filesystem().start().await;
    let digest = registry.push_blob("a/b", "content").await;
    for query in ["", "?digest-algorithm=sha512"] {
        let location = begin(&registry, query).await;
        registry.patch(&location, "123").await.expect(StatusCode::ACCEPTED);
    }
    let setup = registry.setup().clone();
    drop(registry);
    let remains = "repositories/c/_uploads/019a0000-0000-7000-8000-000000000000/hashstates/sha256/5";
    let remains = setup.data().join("docker/registry/v2").join(remains);
    std::fs::create_dir_all(remains.parent().unwrap()).unwrap();
    std::fs::write(&remains, "x").unwrap();
    let all = files(&setup);
    let data = setup.data().to_string_lossy().into_owned();
    let purge = async |arguments: &[&str]| {
        let command = Setup::unsaid().set("storage.filesystem.rootdirectory", &data);
        let command = arguments.iter().fold(command, |command, argument| command.argument(*argument));
        let output = command.run("purge-uploads").await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(purge(&["--older-than", "1h"]).await.contains("0 of 3"));
    assert!(purge(&["--older-than", "0s", "--dry-run"]).await.contains("3 of 3"));
    assert_eq!(files(&setup), all);
    assert!(purge(&["--older-than", "0s"]).await.contains("3 of 3"));
    assert!(files(&setup).iter().all(|file| !file.components().any(|part| part.as_os_str() == "_uploads")));
    let registry = setup.start().await;
    assert_stored(&registry, &digest, &Bytes::from_static(b"content")).await;
}

/// Sends a whole request before it reads anything, as many clients do; gives the answer and the connection.
async fn send_then_read(registry: &Registry, head: &str, length: usize) -> (String, TcpStream) {
    let address = registry.base().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{head}\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![0; 1 << 20];
    for _ in 0..length >> 20 {
        stream.write_all(&piece).await.expect("the connection should not break while the body is sent");
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("the answer should be there");
    (String::from_utf8_lossy(&answer).into_owned(), stream)
}

#[tokio::test]
async fn a_large_body_that_is_refused_early_does_not_cost_the_answer() {
    const LENGTH: usize = 96 << 20;
    let registry = Setup::memory().set("validation.blobs.maxbytes", "1000").start().await;
    let location = begin(&registry, "").await;
    let nowhere = format!("{UPLOADS}01890a5d-ac96-774b-bcce-b302099a8057");
    let rows = [
        (format!("PATCH {nowhere} HTTP/1.1"), "404"),
        (format!("PATCH {location} HTTP/1.1\r\nContent-Range: 7-{}", LENGTH + 6), "416"),
        (format!("PATCH {location} HTTP/1.1"), "413"),
        (format!("PUT {location} HTTP/1.1"), "400"),
        (format!("PUT {location}?digest=sha256:short HTTP/1.1"), "400"),
        (format!("POST {UPLOADS}?digest={} HTTP/1.1", sha256(b"other")), "413"),
        ("PUT /v2/a/manifests/latest HTTP/1.1".to_owned(), "413"),
        ("PUT /v2/nothing HTTP/1.1".to_owned(), "404"),
    ];
    for (head, status) in rows {
        let (answer, _connection) = send_then_read(&registry, &head, LENGTH).await;
        assert_eq!(answer, format!("HTTP/1.1 {status}"), "{head}");
    }
}

#[tokio::test]
async fn a_client_that_asks_first_sends_nothing_in_vain() {
    let registry = Setup::memory().start().await;
    let address = registry.base().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let line = format!("PATCH {UPLOADS}01890a5d-ac96-774b-bcce-b302099a8057 HTTP/1.1\r\nHost: {address}");
    let head = format!("{line}\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
}
