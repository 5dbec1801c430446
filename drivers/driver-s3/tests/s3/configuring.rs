//! What the driver makes of its parameters, and of the server it finds.

use std::time::Duration;

use driver_testsuite::{content, reason, refusal};
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::server::{Quirks, Server};
use crate::support::{PART, start, try_start};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn what_is_wrong_is_told_in_a_sentence() {
    let server = Server::start();
    let rows = [
        ("bucket", "elsewhere", Reason::ConfigInvalid, "the parameter bucket names a bucket that does not exist"),
        ("secretkey", "wrong", Reason::AccessDenied, "the S3 server finds the secret key to be wrong"),
        ("accesskey", "nobody", Reason::AccessDenied, "the S3 server does not know the access key"),
        ("regionendpoint", "http://127.0.0.1:9", Reason::Unavailable, "the S3 server does not answer"),
        ("skipverify", "true", Reason::ConfigInvalid, "the parameter skipverify is true"),
    ];
    for (name, value, wanted, sentence) in rows {
        let (reason, message) = refusal(try_start(server.launch(), &[(name, value)]).await);
        assert_eq!(reason, wanted, "{message}");
        assert!(message.starts_with(sentence), "{message}");
    }
}

#[tokio::test]
async fn if_absent_is_offered_where_the_server_heeds_it() {
    let server = Server::start();
    assert!(start(&server, &[]).await.capabilities().if_absent);
    server.set_quirks(Quirks { ignores_conditions: true, ..Quirks::default() });
    let driver = start(&server, &[]).await;
    assert!(!driver.capabilities().if_absent);
    assert_eq!(reason(driver.put_if("/a", "x", true).await), Reason::Unsupported);
    assert_eq!((server.keys(), server.uploads()), (vec![], vec![]), "what was tried out stays");
}

#[tokio::test]
async fn a_store_that_is_read_only_is_not_touched() {
    let server = Server::start();
    server.put("a", "content", Duration::ZERO);
    server.begin_upload("old", DAY * 100);
    let driver = start(&server, &[("readonly", "true")]).await;
    assert_eq!(driver.content("/a").await.unwrap(), b"content");
    assert_eq!(reason(driver.put("/a", "x").await), Reason::ReadOnly);
    let requests: Vec<_> = server.take_requests().into_keys().collect();
    assert_eq!(requests, ["GetObject"]);
}

#[tokio::test]
async fn what_the_dead_left_is_taken_away_when_it_is_old() {
    let server = Server::start();
    for number in 0..120 {
        server.begin_upload(&format!("store/old/{number}"), DAY * 15);
    }
    server.begin_upload("store/young", DAY * 13);
    server.begin_upload("another/old", DAY * 100);
    server.put("store/~moves/a/~0123", "", DAY * 2);
    server.put("store/~moves/b/~0123", "", DAY / 2);
    let _driver = start(&server, &[("rootdirectory", "/store")]).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while server.uploads().len() > 2 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", server.uploads());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.uploads(), ["another/old", "store/young"]);
    assert_eq!(server.keys(), ["store/~moves/b/~0123"]);
}

#[tokio::test]
async fn what_a_listing_must_not_show_is_hidden() {
    let server = Server::start();
    let driver = start(&server, &[("rootdirectory", "store")]).await;
    driver.put("/a/b", "content").await.unwrap();
    let _session = driver.stage("/up/data", &content(1, PART)).await.unwrap();
    for key in ["store/a/", "store/a/c/", "store//x", "store/a b", "other/a"] {
        server.put(key, "foreign", Duration::ZERO);
    }
    assert_eq!(driver.list_all("/", "", 0).await.unwrap(), [("a".to_owned(), true)]);
    assert_eq!(driver.walk_paths("/", "").await.unwrap(), ["/a/b"]);
}
