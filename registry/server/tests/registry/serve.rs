//! Starting, stopping, and what every request gets whatever it asks.

use std::process::{Output, Stdio};

use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::{Answer, Registry, Setup, eventually, sha256};

/// What a command that should fail said, with its exit code.
fn failure(output: &Output) -> (String, Option<i32>) {
    (String::from_utf8(output.stderr.clone()).unwrap(), output.status.code())
}

#[tokio::test]
async fn a_taken_port_is_a_sentence_with_a_remedy() {
    let taken = Setup::memory().start().await;
    let address = taken.base().strip_prefix("http://").unwrap();
    let output = Setup::unsaid().set("storage.memory", "").argument("--addr").argument(address).run("serve").await;
    let (said, code) = failure(&output);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("{address} is in use by another process")) && said.contains("--addr"), "{said}");
}

#[tokio::test]
async fn what_is_no_address_is_a_sentence_with_its_form() {
    let output = Setup::unsaid().set("storage.memory", "").argument("--addr").argument("5000").run("serve").await;
    let (said, code) = failure(&output);
    assert!(code == Some(1) && said.contains("5000 is not an address: write HOST:PORT"), "{said}");
}

#[tokio::test]
async fn an_unusable_folder_is_a_sentence_that_names_it() {
    let setup = Setup::filesystem();
    std::fs::write(setup.data(), "a file, not a folder").unwrap();
    let (said, code) = failure(&setup.run("serve").await);
    assert_eq!(code, Some(1), "{said}");
    let sentence = format!("cannot keep data in {}; --data or rootdirectory choose another", setup.data().display());
    assert!(said.contains(&sentence), "{said}");
}

#[tokio::test]
async fn a_folder_that_another_registry_uses_is_a_sentence_that_names_both() {
    let first = Setup::filesystem().start().await;
    let driver = first.driver_pid().await;
    let begun = std::time::Instant::now();
    let (said, code) = failure(&first.setup().run("serve").await);
    let sentence = said.lines().last().unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        sentence.starts_with(&format!("bulkhead: cannot keep data in {}", first.setup().data().display())),
        "{said}"
    );
    let holder = format!("another process (number {}) uses this store: stop it", driver.as_raw_nonzero());
    assert!(sentence.contains(&holder), "{said}");
    assert!(begun.elapsed().as_secs() < 15, "it took {:?}", begun.elapsed());
    first.get("/readyz").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_driver_that_is_nowhere_is_a_sentence_that_names_it() {
    let (said, code) = failure(&Setup::bare().set("storage.nosuch", "").run("serve").await);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("bulkhead-driver-nosuch"), "{said}");
}

#[tokio::test]
async fn every_response_says_what_is_spoken_and_who_it_is() {
    let registry = Setup::memory().set("http.headers.x-content-type-options", "nosniff").start().await;
    for (path, status) in [("/", 200), ("/v2/", 200), ("/livez", 200), ("/readyz", 200), ("/nothing", 404)] {
        let answer = registry.get(path).await.expect(StatusCode::from_u16(status).unwrap());
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-request-id").len(), 36, "{path}");
    }
    assert_eq!(registry.get("/v2/").await.json(), serde_json::json!({}));
}

#[tokio::test]
async fn a_request_keeps_the_identifier_that_a_proxy_gave_it() {
    let registry = Setup::memory().start().await;
    for (given, kept) in [("abc-123", true), ("", false), ("a b", false), (&"a".repeat(65), false)] {
        let request = registry.request(Method::GET, "/v2/").header("x-request-id", given);
        let answer = Answer::to(request).await;
        assert_eq!(answer.header("x-request-id") == given, kept, "{given}");
    }
    eventually("the identifier is in the log", async || registry.log().contains("abc-123").then_some(())).await;
}

#[tokio::test]
async fn a_path_that_is_no_route_is_404_with_an_error_body() {
    let registry = Setup::memory().start().await;
    for path in ["/v1/", "/v2/a", "/v2/a/manifests", "/v2/a/tags/list/", "/v2/a%2Fb/tags/list", "/v2/_catalog/"] {
        registry.get(path).await.expect_error(StatusCode::NOT_FOUND, "UNSUPPORTED");
    }
    registry.get("/v2/UPPER/tags/list").await.expect_error(StatusCode::BAD_REQUEST, "NAME_INVALID");
    registry.get("/v2/a/blobs/sha256:short").await.expect_error(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    registry.get("/v2/a/manifests/sha256:short").await.expect_error(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    registry.get("/v2/a/manifests/.no-tag").await.expect_error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    registry.put("/v2/a/manifests/.no-tag", "{}").await.expect_error(StatusCode::BAD_REQUEST, "TAG_INVALID");
    registry.get("/v2/a/blobs/uploads/no-id").await.expect_error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_wrong_method_is_405_with_the_right_ones() {
    let registry = Setup::memory().start().await;
    let blob = format!("/v2/a/blobs/{}", sha256(b"x"));
    let rows = [
        (Method::POST, "/v2/", "GET, HEAD"),
        (Method::DELETE, "/v2/a/tags/list", "GET, HEAD"),
        (Method::POST, "/v2/a/manifests/latest", "GET, HEAD, PUT, DELETE"),
        (Method::PUT, &blob, "GET, HEAD, DELETE"),
        (Method::GET, "/v2/a/blobs/uploads/", "POST"),
        (Method::POST, "/v2/a/blobs/uploads/x", "GET, HEAD, PATCH, PUT, DELETE"),
        (Method::OPTIONS, "/v2/_catalog", "GET, HEAD"),
    ];
    for (method, path, allow) in rows {
        let answer = Answer::to(registry.request(method, path)).await;
        let answer = answer.expect_error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
        assert_eq!(answer.header("allow"), allow, "{path}");
    }
}

/// Every request that would write or delete.
fn writes() -> [(Method, String); 7] {
    let (digest, upload) = (sha256(b"x"), "/v2/a/blobs/uploads/01890a5d-ac96-774b-bcce-b302099a8057");
    [
        (Method::POST, "/v2/a/blobs/uploads/".to_owned()),
        (Method::PATCH, upload.to_owned()),
        (Method::PUT, format!("{upload}?digest={digest}")),
        (Method::DELETE, upload.to_owned()),
        (Method::PUT, "/v2/a/manifests/latest".to_owned()),
        (Method::DELETE, "/v2/a/manifests/latest".to_owned()),
        (Method::DELETE, format!("/v2/a/blobs/{digest}")),
    ]
}

#[tokio::test]
async fn a_read_only_registry_refuses_every_write() {
    let registry = Setup::filesystem().set("storage.maintenance.readonly.enabled", "true").start().await;
    for (method, path) in writes() {
        let answer = Answer::to(registry.request(method, &path)).await;
        let answer = answer.expect_error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
        assert!(["GET, HEAD", ""].contains(&answer.header("allow")), "{path}: {}", answer.header("allow"));
        assert_eq!(answer.json()["errors"][0]["message"], "this registry is read-only");
    }
}

#[tokio::test]
async fn deleting_can_be_switched_off() {
    let registry = Setup::memory().set("storage.delete.enabled", "false").start().await;
    for (method, path) in writes().into_iter().filter(|(method, _)| *method == Method::DELETE) {
        let answer = Answer::to(registry.request(method, &path)).await;
        if path.contains("/uploads/") {
            answer.expect_error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
        } else {
            answer.expect_error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
        }
    }
}

#[tokio::test]
async fn readiness_follows_the_driver_and_liveness_does_not() {
    let registry = Setup::memory().start().await;
    let first = registry.driver_pid().await;
    registry.signal_driver(Signal::KILL).await;
    let second = eventually("another driver runs", async || {
        registry.get("/livez").await.expect(StatusCode::OK);
        let ready = registry.get("/readyz").await;
        let pid = ready.json()["driver"]["pid"].as_i64()?;
        (ready.status == StatusCode::OK && pid != i64::from(first.as_raw_nonzero().get())).then_some(pid)
    });
    assert!(second.await > 0 && registry.driver_restarts().await == 1);
}

#[tokio::test]
async fn readiness_notices_a_driver_that_hangs() {
    let registry = Setup::memory().start().await;
    let pid = registry.driver_pid().await;
    rustix::process::kill_process(pid, Signal::STOP).unwrap();
    let unready = eventually("readiness notices", async || {
        registry.get("/livez").await.expect(StatusCode::OK);
        let answer = registry.get("/readyz").await;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    });
    let unready = unready.await;
    assert_eq!(unready.headers.get("retry-after"), Some(&HeaderValue::from_static("5")));
    assert!(!unready.json()["reason"].as_str().unwrap().is_empty());
    rustix::process::kill_process(pid, Signal::CONT).unwrap();
    eventually("readiness comes back", async || (registry.get("/readyz").await.status == StatusCode::OK).then_some(()))
        .await;
}

#[tokio::test]
async fn a_store_that_is_gone_is_503_and_worth_another_try() {
    let setup = Setup::bare();
    let socket = format!("unix:{}", setup.folder().join("driver.sock").display());
    let mut driver = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
    let parameters = setup.folder().join("driver.json");
    std::fs::write(&parameters, "{}").unwrap();
    driver.args(["driver", "memory", "--listen", &socket, "--config"]).arg(parameters);
    let mut driver = driver.stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let registry = setup.set("driver.attach", &socket).start().await;
    registry.get("/readyz").await.expect(StatusCode::OK);
    driver.kill().await.unwrap();
    let answer = registry.get(&format!("/v2/a/blobs/{}", sha256(b"x"))).await;
    let answer = answer.expect_error(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE");
    assert_eq!(answer.header("retry-after"), "5");
    registry.get("/readyz").await.expect(StatusCode::SERVICE_UNAVAILABLE);
}

/// A push of which only the first half was sent.
async fn half_a_push(registry: &Registry) -> TcpStream {
    let address = registry.base().strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let digest = sha256(b"0123456789");
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 10\r\n\r\n01234"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

#[tokio::test]
async fn a_request_in_flight_is_finished_before_the_end() {
    let mut registry = Setup::filesystem().start().await;
    let mut push = half_a_push(&registry).await;
    // The request is in flight once another one, sent later, has been answered.
    registry.get("/v2/").await.expect(StatusCode::OK);
    registry.signal(Signal::TERM);
    eventually("nobody else is let in", async || registry.client().get(registry.base()).send().await.err()).await;
    push.write_all(b"56789").await.unwrap();
    let mut answer = String::new();
    push.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(registry.ended().await.success());
    let again = registry.setup().start().await;
    again.get(&format!("/v2/a/blobs/{}", sha256(b"0123456789"))).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_cut_off_at_the_end() {
    let mut registry = Setup::memory().set("http.draintimeout", "100ms").start().await;
    let _push = half_a_push(&registry).await;
    registry.get("/v2/").await.expect(StatusCode::OK);
    registry.signal(Signal::TERM);
    assert!(registry.ended().await.success());
    assert!(registry.log().contains("cut off"), "{}", registry.log());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut registry = Setup::memory().start().await;
    let _push = half_a_push(&registry).await;
    registry.get("/v2/").await.expect(StatusCode::OK);
    registry.signal(Signal::TERM);
    eventually("it is stopping", async || registry.log().contains("SIGTERM").then_some(())).await;
    registry.signal(Signal::INT);
    assert!(registry.ended().await.success());
    assert!(registry.log().contains("stopping at once"), "{}", registry.log());
}

#[tokio::test]
async fn the_driver_ends_with_the_registry() {
    let mut registry = Setup::filesystem().start().await;
    let driver = registry.driver_pid().await;
    registry.signal(Signal::KILL);
    registry.ended().await;
    eventually("the driver is gone", async || rustix::process::test_kill_process(driver).err()).await;
}

#[tokio::test]
async fn one_line_is_logged_for_each_request() {
    let registry = Setup::memory().set("log.formatter", "json").start().await;
    registry.get("/v2/some/repository/manifests/latest").await.expect(StatusCode::NOT_FOUND);
    let line = eventually("the line is there", async || {
        registry.log().lines().find(|line| line.contains("some/repository")).map(str::to_owned)
    });
    let line: serde_json::Value = serde_json::from_str(&line.await).unwrap();
    let fields = ["method", "route", "repository", "subject"].map(|field| line[field].as_str().unwrap().to_owned());
    assert_eq!(fields, ["GET", "manifest", "some/repository", "latest"]);
    assert_eq!(line["status"], 404);
    assert!(line["bytes"].as_u64().unwrap() > 0 && line["cause"].as_str().unwrap().contains("MANIFEST_UNKNOWN"));
}

#[tokio::test]
async fn headers_beyond_every_need_are_refused() {
    let registry = Setup::memory().start().await;
    let many = (0..200).fold(registry.request(Method::GET, "/v2/"), |request, i| request.header(format!("x-{i}"), "v"));
    Answer::to(many).await.expect(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let long = registry.request(Method::GET, "/v2/").header("x-long", "v".repeat(1 << 20));
    Answer::to(long).await.expect(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    registry.get("/v2/").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_connection_too_many_waits_for_another_to_end() {
    let registry = Setup::memory().set("http.maxconnections", "1").start().await;
    let address = registry.base().strip_prefix("http://").unwrap();
    let mut first = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /v2/ HTTP/1.1\r\nHost: {address}\r\n\r\n");
    first.write_all(head.as_bytes()).await.unwrap();
    first.readable().await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(second.try_read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    let mut answer = [0; 12];
    second.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn stale_uploads_are_removed_by_command() {
    let mut registry = Setup::filesystem().start().await;
    let upload = registry.post("/v2/a/blobs/uploads/").await.expect(StatusCode::ACCEPTED);
    let data = registry.setup().data();
    registry.signal(Signal::TERM);
    registry.ended().await;
    let command = Setup::unsaid().argument("--data").argument(&data);
    let rows = [
        (vec![], "0 of 1 uploads were removed"),
        (vec!["--older-than", "0s", "--dry-run"], "1 of 1 uploads would be removed"),
        (vec!["--older-than", "0s"], "1 of 1 uploads were removed"),
        (vec!["--older-than", "0s"], "0 of 0 uploads were removed"),
    ];
    for (options, expected) in rows {
        let output = options.into_iter().fold(command.clone(), Setup::argument).run("purge-uploads").await;
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), expected);
    }
    let again = registry.setup().start().await;
    again.get(upload.header("location")).await.expect_error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn it_listens_on_a_unix_socket() {
    let setup = Setup::unsaid().set("storage.memory", "").set("http.net", "unix");
    let socket = setup.folder().join("registry.sock");
    let registry = setup.set("http.addr", socket.to_str().unwrap()).start().await;
    let mut connection = tokio::net::UnixStream::connect(&socket).await.unwrap();
    connection.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(registry.base(), format!("unix:{}", socket.display()));
}
