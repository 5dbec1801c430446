//! How many requests a call costs: what the documentation promises.

use driver_testsuite::content;

use crate::server::Server;
use crate::support::{NO_SWEEP, PART, start};

#[tokio::test]
async fn calls_cost_what_is_documented() {
    let server = Server::start();
    let driver = start(&server, &[NO_SWEEP]).await;
    let count = |what: &str, most: usize| {
        let requests = server.take_requests();
        let seen: usize = requests.values().sum();
        assert_eq!(seen, most, "{what}: {requests:?}");
    };
    count_nothing(&server);
    driver.put("/a", "content").await.unwrap();
    count("Put", 2);
    driver.get("/a").await.unwrap();
    count("Get", 1);
    driver.stat("/a").await.unwrap();
    count("Stat of content", 1);
    driver.stat("/b").await.unwrap_err();
    count("Stat of nothing", 3);
    driver.read("/a", 0, None).await.unwrap();
    count("Read", 1);
    driver.redirect_url("/a").await.unwrap();
    count("RedirectUrl", 0);
    driver.list("/", "", 0).await.unwrap();
    count("List", 1);
    driver.delete("/a", false).await.unwrap();
    count("Delete", 3);
    let session = driver.stage("/up", b"content").await.unwrap();
    count("Write of a small content", 3);
    driver.commit("/up", "/a", 7).await.unwrap();
    count("Commit of a small content", 4);
    drop(session);
    let mut session = driver.open_for("/up", 0, "/large").await.unwrap();
    session.data(&content(1, 3 * PART)).await;
    session.flush().await.unwrap();
    count("Write of three parts", 2 + 3 + 3 + 1);
    driver.commit("/up", "/large", 3 * PART as u64).await.unwrap();
    count("Commit to the target that was known", 4);
    driver.delete("/", true).await.unwrap_err();
    driver.delete("/up", true).await.unwrap();
    count("Delete of a tree of nothing", 3);
}

/// What Configure cost is none of the calls'.
fn count_nothing(server: &Server) {
    server.take_requests();
}
