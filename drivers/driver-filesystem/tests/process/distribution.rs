//! A store that another registry product wrote is served as it is: its layout, its empty folders, its open uploads.

use std::fs;
use std::path::Path;

use crate::support::start;

const BLOB: &str =
    "/docker/registry/v2/blobs/sha256/2c/2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae/data";
const UPLOAD: &str = "/docker/registry/v2/repositories/library/app/_uploads/0d4e1a5c-9a50-4c6f-8a5d-0c4f7a7c3f10/data";

/// Files with the modes that product gives them, among them a pushed tag, a half-done upload and what deletes left behind.
fn write_store(root: &Path) {
    let repository = "/docker/registry/v2/repositories/library/app";
    let revision = "sha256/fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9/link";
    let files = [
        (BLOB.to_owned(), "foo"),
        (UPLOAD.to_owned(), "half "),
        (UPLOAD.replace("/data", "/startedat"), "2026-01-02T03:04:05Z"),
        (format!("{repository}/_manifests/revisions/{revision}"), "sha256:fcde"),
        (format!("{repository}/_manifests/tags/latest/current/link"), "sha256:fcde"),
        (format!("{repository}/_manifests/tags/latest/index/{revision}"), "sha256:fcde"),
    ];
    for (path, content) in files {
        let file = root.join(&path[1..]);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    for folder in ["_manifests/tags/deleted/index/sha256", "_layers/sha256", "_uploads/gone"] {
        fs::create_dir_all(root.join(&repository[1..]).join(folder)).unwrap();
    }
}

#[tokio::test]
async fn its_content_is_found_and_its_empty_folders_are_not() {
    let place = tempfile::tempdir().unwrap();
    write_store(place.path());
    let driver = start(place.path(), &[]).await;
    assert_eq!(driver.content(BLOB).await.unwrap(), b"foo");
    let repository = "/docker/registry/v2/repositories/library/app";
    assert_eq!(driver.names(repository).await.unwrap(), ["_manifests", "_uploads"]);
    assert_eq!(driver.names(&format!("{repository}/_manifests/tags")).await.unwrap(), ["latest"]);
    assert_eq!(driver.paths("/").await.unwrap().len(), 6);
}

#[tokio::test]
async fn its_open_upload_goes_on() {
    let place = tempfile::tempdir().unwrap();
    write_store(place.path());
    let driver = start(place.path(), &[]).await;
    let mut writing = driver.open(UPLOAD, 5).await.unwrap();
    writing.data(b"and half").await;
    assert_eq!(writing.flush().await.unwrap(), 13);
    driver.commit(UPLOAD, "/docker/registry/v2/blobs/sha256/00/00/data", 13).await.unwrap();
    assert_eq!(fs::read(place.path().join("docker/registry/v2/blobs/sha256/00/00/data")).unwrap(), b"half and half");
    assert!(!place.path().join(&UPLOAD[1..]).exists());
}

#[tokio::test]
async fn it_finds_its_own_layout_again() {
    let place = tempfile::tempdir().unwrap();
    let driver = start(place.path(), &[]).await;
    driver.put("/docker/registry/v2/repositories/a/_layers/sha256/00/link", "sha256:00").await.unwrap();
    let file = place.path().join("docker/registry/v2/repositories/a/_layers/sha256/00/link");
    assert_eq!(fs::read(&file).unwrap(), b"sha256:00");
    let readable_by_others = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file).unwrap().permissions());
    assert_eq!(readable_by_others & 0o400, 0o400);
}
