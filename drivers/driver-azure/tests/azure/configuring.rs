//! What the driver makes of its parameters, and of the container it finds.

use driver_testsuite::{Running, reason, refusal};
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::fake::{Failure, Fake};

#[tokio::test]
async fn what_is_wrong_is_told_in_a_sentence() {
    let server = Fake::start();
    let failure = |status, code| Some(Failure { status, code, retry_after: None });
    let rows = [
        (failure(404, "ContainerNotFound"), Reason::ConfigInvalid, "the parameter container names a container that"),
        (failure(403, "AuthenticationFailed"), Reason::AccessDenied, "the Azure server finds the key or the token"),
        (failure(403, "AuthorizationPermissionMismatch"), Reason::AccessDenied, "the Azure server knows the driver"),
    ];
    for (fails, wanted, sentence) in rows {
        server.state().fails = fails;
        let (reason, message) = refusal(Running::try_start(&server.launch_with_key()).await);
        assert_eq!(reason, wanted, "{message}");
        assert!(message.starts_with(sentence), "{message}");
    }
    let elsewhere = server.launch_with_key().parameter("endpoint", "http://127.0.0.1:9/me");
    assert_eq!(refusal(Running::try_start(&elsewhere).await).0, Reason::Unavailable);
}

#[tokio::test]
async fn keys_with_a_slash_before_them_are_found() {
    let server = Fake::start();
    server.put("/docker/a", "old");
    let driver = Running::start(&server.launch_with_key()).await.unwrap();
    assert_eq!(driver.content("/docker/a").await.unwrap(), b"old");
    driver.put("/docker/b", "new").await.unwrap();
    assert_eq!(driver.list_all("/docker", "", 0).await.unwrap().len(), 2);
    assert_eq!(server.keys(), ["/docker/a", "/docker/b"]);
}

#[tokio::test]
async fn keys_of_both_kinds_are_not_mixed() {
    let server = Fake::start();
    server.put("/docker/a", "old");
    server.put("docker/a", "new");
    let (reason, message) = refusal(Running::try_start(&server.launch_with_key()).await);
    assert_eq!(reason, Reason::ConfigInvalid);
    assert!(message.contains("legacyrootprefix"), "{message}");
    for (value, wanted) in [("true", b"old"), ("false", b"new")] {
        let driver = Running::start(&server.launch_with_key().parameter("legacyrootprefix", value)).await.unwrap();
        assert_eq!(driver.content("/docker/a").await.unwrap(), wanted);
    }
    let driver = Running::start(&server.launch_with_key().parameter("trimlegacyrootprefix", "false")).await.unwrap();
    assert_eq!(driver.content("/docker/a").await.unwrap(), b"old");
}

#[tokio::test]
async fn a_store_below_a_root_has_its_own_slash() {
    let server = Fake::start();
    for (key, content) in [("/x/a", "old"), ("y/a", "new"), ("/z", "foreign")] {
        server.put(key, content);
    }
    for (root, wanted) in [("x", b"old"), ("/y/", b"new")] {
        let driver = Running::start(&server.launch_with_key().parameter("rootdirectory", root)).await.unwrap();
        assert_eq!(driver.content("/a").await.unwrap(), wanted);
    }
}

#[tokio::test]
async fn content_that_was_appended_is_read_and_replaced() {
    let server = Fake::start();
    server.put("a", "appended");
    server.state().objects.get_mut("a").unwrap().is_appended = true;
    let driver = Running::start(&server.launch_with_key()).await.unwrap();
    assert_eq!(driver.content("/a").await.unwrap(), b"appended");
    assert_eq!(reason(driver.put_if("/a", "x", true).await), Reason::AlreadyExists);
    driver.put("/a", "put").await.unwrap();
    assert_eq!(driver.content("/a").await.unwrap(), b"put");
}
