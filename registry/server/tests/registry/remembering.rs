//! What a registry remembers of its store: never more than is true, whoever else writes to it.

use std::path::PathBuf;
use std::process::Stdio;

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::images::{image, image_number, push, push_blobs};
use crate::support::{Registry, Setup, eventually, sha256};

const LAYER: &[u8] = b"a layer";

/// Two registries on one store, and the driver that both are attached to, if there is one.
struct Replicas {
    one: Registry,
    other: Registry,
    _driver: Option<Child>,
}

/// Each driver has the folder, which the processes share.
async fn over_a_shared_folder() -> Replicas {
    let setup = Setup::filesystem().set("storage.filesystem.shared", "true");
    Replicas { one: setup.start().await, other: setup.start().await, _driver: None }
}

/// One driver has the folder for itself, and two registries have the driver.
async fn over_one_driver() -> Replicas {
    let setup = Setup::bare();
    let (socket, parameters) = (setup.folder().join("driver.sock"), setup.folder().join("driver.json"));
    std::fs::write(&parameters, json!({ "rootdirectory": setup.data() }).to_string()).unwrap();
    let address = format!("unix:{}", socket.display());
    let mut driver = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
    driver.args(["driver", "filesystem", "--listen", &address, "--config"]).arg(parameters);
    let driver = driver.stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    eventually("the driver listens", || async { socket.exists().then_some(()) }).await;
    let setup = setup.set("driver.attach", &address);
    Replicas { one: setup.start().await, other: setup.start().await, _driver: Some(driver) }
}

/// Has the registry read everything that it may want to remember.
async fn read_all(registry: &Registry, expected: StatusCode) {
    for _ in 0..3 {
        registry.get("/v2/a/manifests/v1").await.expect(expected);
        registry.get(&format!("/v2/a/blobs/{}", sha256(LAYER))).await.expect(expected);
        registry.head(&format!("/v2/a/blobs/{}", sha256(LAYER))).await.expect(expected);
    }
}

#[tokio::test]
async fn what_one_replica_changes_the_other_sees_at_once() {
    for replicas in [over_a_shared_folder().await, over_one_driver().await] {
        let Replicas { one, other, .. } = &replicas;
        push_blobs(one, "a").await;
        for number in 0..20 {
            let moved = push(one, "a", Some("v1"), &image_number(number)).await;
            let answer = other.get("/v2/a/manifests/v1").await.expect(StatusCode::OK);
            assert_eq!(answer.header("docker-content-digest"), moved);
            assert_eq!(answer.body, image_number(number));
        }
        read_all(other, StatusCode::OK).await;
        let digest = sha256(&image_number(19));
        other.get(&format!("/v2/a/manifests/{digest}")).await.expect(StatusCode::OK);
        one.delete(&format!("/v2/a/manifests/{digest}")).await.expect(StatusCode::ACCEPTED);
        one.delete(&format!("/v2/a/blobs/{}", sha256(LAYER))).await.expect(StatusCode::ACCEPTED);
        other.get(&format!("/v2/a/manifests/{digest}")).await.expect(StatusCode::NOT_FOUND);
        read_all(other, StatusCode::NOT_FOUND).await;
        push_blobs(one, "a").await;
        push(one, "a", Some("v1"), &image_number(19)).await;
        read_all(other, StatusCode::OK).await;
    }
}

#[tokio::test]
async fn what_a_registry_changes_itself_it_sees_at_once() {
    let registry = Setup::filesystem().start().await;
    push_blobs(&registry, "a").await;
    for number in 0..20 {
        let moved = push(&registry, "a", Some("v1"), &image_number(number)).await;
        read_all(&registry, StatusCode::OK).await;
        let answer = registry.get("/v2/a/manifests/v1").await;
        assert_eq!(answer.header("docker-content-digest"), moved);
    }
    registry.delete("/v2/a/manifests/v1").await.expect(StatusCode::ACCEPTED);
    registry.get("/v2/a/manifests/v1").await.expect(StatusCode::NOT_FOUND);
    let digest = push(&registry, "a", Some("v1"), &image_number(0)).await;
    read_all(&registry, StatusCode::OK).await;
    registry.delete(&format!("/v2/a/manifests/{digest}")).await.expect(StatusCode::ACCEPTED);
    registry.delete(&format!("/v2/a/blobs/{}", sha256(LAYER))).await.expect(StatusCode::ACCEPTED);
    registry.get(&format!("/v2/a/manifests/{digest}")).await.expect(StatusCode::NOT_FOUND);
    read_all(&registry, StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn a_blob_of_one_repository_is_none_of_another_however_often_it_was_read() {
    let registry = Setup::filesystem().start().await;
    push_blobs(&registry, "a").await;
    let digest = push(&registry, "a", Some("v1"), &image(json!({}))).await;
    read_all(&registry, StatusCode::OK).await;
    registry.get(&format!("/v2/b/blobs/{}", sha256(LAYER))).await.expect(StatusCode::NOT_FOUND);
    registry.get(&format!("/v2/b/manifests/{digest}")).await.expect(StatusCode::NOT_FOUND);
}

fn tag_link(registry: &Registry) -> PathBuf {
    registry.setup().data().join("docker/registry/v2/repositories/a/_manifests/tags/v1/current/link")
}

#[tokio::test]
async fn a_store_of_its_own_is_not_asked_twice_unless_the_operator_wants_it() {
    let rows = [
        ("16777216", false, StatusCode::OK),
        ("0", false, StatusCode::NOT_FOUND),
        ("16777216", true, StatusCode::NOT_FOUND),
    ];
    for (bytes, shared, expected) in rows {
        let setup = Setup::filesystem().set("cache.maxbytes", bytes);
        let registry = setup.set("storage.filesystem.shared", &shared.to_string()).start().await;
        push_blobs(&registry, "a").await;
        push(&registry, "a", Some("v1"), &image(json!({}))).await;
        read_all(&registry, StatusCode::OK).await;
        std::fs::remove_file(tag_link(&registry)).unwrap();
        registry.get("/v2/a/manifests/v1").await.expect(expected);
    }
}

#[tokio::test]
async fn nothing_is_remembered_of_a_store_that_ended_with_its_driver() {
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    push(&registry, "a", Some("v1"), &image(json!({}))).await;
    read_all(&registry, StatusCode::OK).await;
    registry.signal_driver(Signal::KILL).await;
    eventually("the driver is replaced", || async { (registry.driver_restarts().await == 1).then_some(()) }).await;
    read_all(&registry, StatusCode::NOT_FOUND).await;
    let mounted = registry.post(&format!("/v2/b/blobs/uploads/?mount={}", sha256(LAYER))).await;
    mounted.expect(StatusCode::ACCEPTED);
}
