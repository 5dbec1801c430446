//! What the driver wrote is read and listed by another library of S3, and the other way round.

use driver_testsuite::content;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::server::{ACCESS_KEY, BUCKET, REGION, SECRET_KEY, Server};
use crate::support::{PART, start};

fn oracle(server: &Server) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .with_region(REGION)
        .with_bucket_name(BUCKET)
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .build()
        .unwrap()
}

async fn listed(oracle: &AmazonS3) -> Vec<String> {
    let objects: Vec<_> = oracle.list(Some(&Path::from("store"))).try_collect().await.unwrap();
    let mut paths: Vec<_> = objects.into_iter().map(|object| object.location.to_string()).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn another_library_sees_what_the_driver_wrote() {
    let server = Server::start();
    let (driver, oracle) = (start(&server, &[("rootdirectory", "/store")]).await, oracle(&server));
    let large = content(1, 2 * PART + 3);
    driver.put("/a/small", "content").await.unwrap();
    driver.put("/a-b/empty", "").await.unwrap();
    let _session = driver.stage("/up/data", &large).await.unwrap();
    driver.commit("/up/data", "/a/large", large.len() as u64).await.unwrap();
    driver.rename("/a/small", "/b/small").await.unwrap();
    assert_eq!(listed(&oracle).await, ["store/a-b/empty", "store/a/large", "store/b/small"]);
    for (key, wanted) in [("store/a/large", &large[..]), ("store/b/small", b"content"), ("store/a-b/empty", b"")] {
        let got = oracle.get(&Path::from(key)).await.unwrap();
        let (size, etag) = (got.meta.size, got.meta.e_tag.clone().unwrap_or_default());
        assert_eq!(got.bytes().await.unwrap(), wanted, "{key}");
        let info = driver.stat(&key["store".len()..]).await.unwrap();
        assert_eq!((info.size, info.version.as_str()), (size, etag.trim_matches('"')), "{key}");
    }
}

#[tokio::test]
async fn the_driver_sees_what_another_library_wrote() {
    let server = Server::start();
    let (driver, oracle) = (start(&server, &[("rootdirectory", "/store")]).await, oracle(&server));
    let large = content(2, 2 * PART + 3);
    oracle.put(&Path::from("store/a/small"), PutPayload::from_static(b"content")).await.unwrap();
    let mut upload = oracle.put_multipart(&Path::from("store/a.b/large")).await.unwrap();
    for part in large.chunks(PART) {
        upload.put_part(PutPayload::from(part.to_vec())).await.unwrap();
    }
    upload.complete().await.unwrap();
    assert_eq!(driver.walk_paths("/", "").await.unwrap(), ["/a/small", "/a.b/large"]);
    assert_eq!(driver.content("/a/small").await.unwrap(), b"content");
    assert_eq!(driver.content("/a.b/large").await.unwrap(), large);
    driver.delete("/a.b", true).await.unwrap();
    assert_eq!(listed(&oracle).await, ["store/a/small"]);
}
