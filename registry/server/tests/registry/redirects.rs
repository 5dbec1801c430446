//! Blobs that a client fetches from the back end itself, at a URL that the driver signed.

use reqwest::{Method, StatusCode};

use crate::support::{Answer, Setup, eventually, sha256};

const LARGE: &str = "content worth a redirect";

/// A registry over the driver that signs URLs.
fn redirecting() -> Setup {
    let setup = Setup::bare().set("storage.redirecting", "").set("log.level", "debug");
    let drivers = setup.folder().join("drivers");
    std::fs::create_dir(&drivers).unwrap();
    let example = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples/faulty-driver");
    assert!(example.exists(), "build it first: cargo build -p bulkhead --example faulty-driver");
    std::os::unix::fs::symlink(example, drivers.join("bulkhead-driver-redirecting")).unwrap();
    setup.set("driver.directory", drivers.to_str().unwrap())
}

#[tokio::test]
async fn a_client_is_sent_to_where_the_driver_says() {
    let registry = redirecting().start().await;
    let digest = registry.push_blob("a", LARGE).await;
    let blob = format!("/v2/a/blobs/{digest}");
    for (method, name) in [(Method::GET, "Get"), (Method::HEAD, "Head")] {
        let answer = Answer::to(registry.request(method, &blob).header("range", "bytes=1-2")).await;
        let answer = answer.expect(StatusCode::TEMPORARY_REDIRECT);
        let hex = digest.strip_prefix("sha256:").unwrap();
        let place = format!("https://store.example/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        let query = format!("method={name}&seconds=1200&client=127.0.0.1&signature=secret");
        assert_eq!(answer.header("location"), format!("{place}?{query}"));
        assert_eq!(answer.header("docker-content-digest"), digest);
        assert!(answer.body.is_empty() && answer.header("cache-control").is_empty(), "{:?}", answer.headers);
    }
    let line = async || registry.log().contains("status=307").then_some(());
    eventually("the request is in the log", line).await;
    assert!(!registry.log().contains("signature"), "{}", registry.log());
}

#[tokio::test]
async fn what_is_not_to_be_redirected_is_served() {
    let registry = redirecting().start().await;
    let small = registry.push_blob("a", "small").await;
    let answer = registry.get(&format!("/v2/a/blobs/{small}")).await.expect(StatusCode::OK);
    assert_eq!(answer.body, "small");
    let large = registry.push_blob("a", LARGE).await;
    let blob = format!("/v2/a/blobs/{large}");
    let known = registry.request(Method::GET, &blob).header("if-none-match", format!("\"{large}\""));
    Answer::to(known).await.expect(StatusCode::NOT_MODIFIED);
    registry.get(&format!("/v2/b/blobs/{large}")).await.expect_error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    registry.get(&format!("/v2/a/blobs/{}", sha256(b"none"))).await.expect(StatusCode::NOT_FOUND);

    let registry = redirecting().set("storage.redirect.disable", "true").start().await;
    registry.push_blob("a", LARGE).await;
    assert_eq!(registry.get(&blob).await.expect(StatusCode::OK).body, LARGE);
    assert_eq!(registry.head(&blob).await.expect(StatusCode::OK).header("content-length"), LARGE.len().to_string());
}
