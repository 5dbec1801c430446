//! Manifests: pushed and pulled byte for byte, refused with a reason, and deleted.

use bytes::Bytes;
use futures::future::join_all;
use reqwest::header::{ACCEPT, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};

use crate::images::{
    DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, descriptor, image, image_number, index, push,
    push_blobs, registries,
};
use crate::pushing::sha512;
use crate::support::{Answer, Registry, Setup, sha256};

#[tokio::test]
async fn every_kind_is_served_as_it_was_pushed() {
    let untyped = image(json!({ "mediaType": null }));
    let spaced = [b"\n  ".to_vec(), image(json!({ "unknown": [1.50, {}] })), b"\t\n".to_vec()].concat();
    let rows = [
        (OCI_MANIFEST, image(json!({}))),
        (OCI_MANIFEST, image(json!({ "layers": [] }))),
        (OCI_MANIFEST, image(json!({ "artifactType": "application/vnd.example", "annotations": { "a": "b" } }))),
        (OCI_MANIFEST, spaced),
        (OCI_MANIFEST, untyped),
        (OCI_INDEX, index(&[image(json!({}))], json!({}))),
        (OCI_INDEX, index(&[], json!({}))),
        (OCI_INDEX, index(&[], json!({ "mediaType": null }))),
        (DOCKER_MANIFEST, image(json!({ "mediaType": DOCKER_MANIFEST }))),
        (DOCKER_LIST, index(&[image(json!({}))], json!({ "mediaType": DOCKER_LIST }))),
        // Larger than what a driver takes in one call.
        (OCI_MANIFEST, image(json!({ "annotations": { "large": "x".repeat(3_900_000) } }))),
    ];
    for registry in registries().await {
        push_blobs(&registry, "a/b").await;
        for (media_type, content) in &rows {
            let put = registry.put_manifest("a/b", "v1", media_type, content.clone()).await.expect(StatusCode::CREATED);
            let location = format!("/v2/a/b/manifests/{}", sha256(content));
            assert_eq!((put.header("location"), put.header("docker-content-digest")), (&*location, &*sha256(content)));
            for location in ["/v2/a/b/manifests/v1", &location] {
                assert_serves(&registry, location, media_type, content, &sha256(content)).await;
            }
        }
    }
}

async fn assert_serves(registry: &Registry, location: &str, media_type: &str, content: &[u8], digest: &str) {
    let get = registry.get(location).await.expect(StatusCode::OK);
    assert!(get.body == content, "{location}: {} bytes came for {}", get.body.len(), content.len());
    let head = registry.head(location).await.expect(StatusCode::OK);
    assert!(head.body.is_empty());
    for answer in [get, head] {
        assert_eq!(answer.header("content-type"), media_type, "{location}");
        assert_eq!(answer.header("content-length"), content.len().to_string());
        assert_eq!(answer.header("docker-content-digest"), digest);
        assert_eq!(answer.header("etag"), format!("\"{digest}\""));
    }
}

#[tokio::test]
async fn a_large_manifest_leaves_no_folder_of_an_upload() {
    let registry = Setup::filesystem().start().await;
    push_blobs(&registry, "a").await;
    push(&registry, "a", Some("v1"), &image(json!({ "annotations": { "large": "x".repeat(2_000_000) } }))).await;
    let uploads = registry.setup().data().join("docker/registry/v2/repositories/a/_uploads");
    assert_eq!(std::fs::read_dir(uploads).map_or(0, Iterator::count), 0);
}

#[tokio::test]
async fn not_every_missing_blob_is_told_when_they_are_thousands() {
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    let layers: Vec<Value> = (0..300).map(|number| descriptor(OCI_LAYER, format!("{number}").as_bytes())).collect();
    let put = registry.put_manifest("a", "v1", OCI_MANIFEST, image(json!({ "layers": layers }))).await;
    let answer = put.expect_error(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(answer.json()["errors"].as_array().map(Vec::len), Some(100));
}

#[tokio::test]
async fn what_is_served_does_not_depend_on_accept() {
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    let digest = push(&registry, "a", Some("v1"), &image(json!({}))).await;
    for accept in ["*/*", DOCKER_MANIFEST, "text/html"] {
        let request = registry.request(Method::GET, "/v2/a/manifests/v1").header(ACCEPT, accept);
        let answer = Answer::to(request).await.expect(StatusCode::OK);
        assert_eq!((answer.header("content-type"), answer.header("docker-content-digest")), (OCI_MANIFEST, &*digest));
    }
}

#[tokio::test]
async fn who_has_it_gets_no_body() {
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    let digest = push(&registry, "a", Some("v1"), &image(json!({}))).await;
    let rows = [
        (format!("\"{digest}\""), StatusCode::NOT_MODIFIED),
        (format!("W/\"x\", W/\"{digest}\""), StatusCode::NOT_MODIFIED),
        (digest.clone(), StatusCode::NOT_MODIFIED),
        ("*".to_owned(), StatusCode::NOT_MODIFIED),
        (format!("\"{}\"", sha256(b"other")), StatusCode::OK),
    ];
    for (tags, status) in rows {
        for method in [Method::GET, Method::HEAD] {
            let request = registry.request(method, "/v2/a/manifests/v1").header(IF_NONE_MATCH, &tags);
            let answer = Answer::to(request).await.expect(status);
            assert_eq!(answer.header("docker-content-digest"), digest, "{tags}");
            assert_eq!(answer.header("etag"), format!("\"{digest}\""));
        }
    }
    for (tags, status) in [
        (format!("\"{digest}\""), StatusCode::OK),
        ("*".to_owned(), StatusCode::OK),
        (format!("W/\"{digest}\""), StatusCode::PRECONDITION_FAILED),
        ("\"x\"".to_owned(), StatusCode::PRECONDITION_FAILED),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let request = registry.request(method, "/v2/a/manifests/v1").header(IF_MATCH, &tags);
            let answer = Answer::to(request).await.expect(status);
            assert_eq!(answer.header("etag"), format!("\"{digest}\""));
        }
    }
    let request = registry.request(Method::GET, "/v2/a/manifests/none").header(IF_NONE_MATCH, "*");
    Answer::to(request).await.expect_error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn a_digest_must_be_that_of_the_content() {
    let content = image(json!({}));
    for registry in registries().await {
        push_blobs(&registry, "a").await;
        let refused = [
            sha256(b"other"),
            sha512(b"other"),
            sha512(&content).replace("sha512", "sha256"),
            sha256(&content).to_uppercase(),
            "sha256:baddigeststring".to_owned(),
            "md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(),
        ];
        for digest in refused {
            let put = registry.put_manifest("a", &digest, OCI_MANIFEST, content.clone()).await;
            put.expect_error(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
        }
        registry.get(&format!("/v2/a/manifests/{}", sha256(&content))).await.expect(StatusCode::NOT_FOUND);
        for digest in [sha256(&content), sha512(&content)] {
            let put = registry.put_manifest("a", &digest, OCI_MANIFEST, content.clone()).await;
            let location = format!("/v2/a/manifests/{digest}");
            assert_eq!((put.header("location"), put.header("docker-content-digest")), (&*location, &*digest));
            assert_serves(&registry, &location, OCI_MANIFEST, &content, &digest).await;
        }
    }
}

#[tokio::test]
async fn one_push_sets_many_tags() {
    let content = image(json!({}));
    for registry in registries().await {
        push_blobs(&registry, "a").await;
        for digest in [sha256(&content), sha512(&content)] {
            let tags: Vec<String> = (0..12).map(|number| format!("v{number}")).collect();
            let reference = format!("{digest}?tag={}&tag=v0", tags.join("&tag="));
            let put = registry.put_manifest("a", &reference, OCI_MANIFEST, content.clone()).await;
            let put = put.expect(StatusCode::CREATED);
            let accepted: Vec<_> = put.headers.get_all("oci-tag").iter().map(|tag| tag.to_str().unwrap()).collect();
            assert_eq!(accepted, tags);
            for tag in tags {
                assert_serves(&registry, &format!("/v2/a/manifests/{tag}"), OCI_MANIFEST, &content, &digest).await;
            }
        }
    }
}

#[tokio::test]
async fn tags_that_cannot_be_are_refused_before_anything_is_stored() {
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    let content = image(json!({}));
    let digest = sha256(&content);
    let too_many = (0..101).map(|number| format!("tag=v{number}")).collect::<Vec<_>>().join("&");
    let rows = [
        (format!("{digest}?tag=good&tag=-bad"), StatusCode::BAD_REQUEST),
        (format!("{digest}?tag="), StatusCode::BAD_REQUEST),
        (format!("{digest}?tag={}", "a".repeat(129)), StatusCode::BAD_REQUEST),
        (format!("{digest}?{too_many}"), StatusCode::URI_TOO_LONG),
        ("v1?tag=v2".to_owned(), StatusCode::BAD_REQUEST),
        ("-bad".to_owned(), StatusCode::BAD_REQUEST),
        ("a".repeat(129), StatusCode::BAD_REQUEST),
    ];
    for (reference, status) in rows {
        let put = registry.put_manifest("a", &reference, OCI_MANIFEST, content.clone()).await;
        put.expect_error(status, "TAG_INVALID");
    }
    assert_nothing_was_stored(&registry, &content).await;
}

async fn assert_nothing_was_stored(registry: &Registry, content: &[u8]) {
    assert_eq!(registry.get("/v2/a/tags/list").await.expect(StatusCode::OK).json()["tags"], json!([]));
    assert_eq!(registry.get("/v2/_catalog").await.expect(StatusCode::OK).json()["repositories"], json!([]));
    let by_digest = registry.get(&format!("/v2/a/manifests/{}", sha256(content))).await;
    by_digest.expect_error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn what_is_no_manifest_is_refused_with_a_reason() {
    let deep = format!("{{\"config\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes();
    let rows: [(&str, Vec<u8>, &str); 12] = [
        (OCI_MANIFEST, b"".to_vec(), "not JSON"),
        (OCI_MANIFEST, b"not JSON".to_vec(), "not JSON"),
        (OCI_MANIFEST, b"\xff\xfe".to_vec(), "not JSON"),
        (OCI_MANIFEST, b"[]".to_vec(), ""),
        (OCI_MANIFEST, deep, ""),
        (OCI_MANIFEST, image(json!({ "schemaVersion": 1 })), "schema 1"),
        (OCI_MANIFEST, image(json!({ "config": null })), "no 'config'"),
        (OCI_MANIFEST, image(json!({ "mediaType": "text/plain" })), "'text/plain' are not supported"),
        (OCI_MANIFEST, image(json!({ "layers": [{ "digest": "sha256:no", "size": 1 }] })), "layers[0]"),
        (OCI_MANIFEST, image(json!({ "manifests": [] })), "never both"),
        (DOCKER_MANIFEST, image(json!({})), "by its content it is"),
        (OCI_INDEX, image(json!({})), "by its content it is"),
    ];
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    for (media_type, content, reason) in rows {
        let put = registry.put_manifest("a", "v1", media_type, content.clone()).await;
        let answer = put.expect_error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID").json();
        let message = answer["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(reason), "{message:?} should tell: {reason}");
        assert_nothing_was_stored(&registry, &content).await;
    }
}

#[tokio::test]
async fn a_manifest_over_the_limit_is_refused() {
    let large = image(json!({ "annotations": { "large": "x".repeat(4 << 20) } }));
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    let whole = Body::from(large.clone());
    let pieces: Vec<_> =
        large.chunks(100_000).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
    let unannounced = Body::wrap_stream(futures::stream::iter(pieces));
    for body in [whole, unannounced] {
        let request = registry.request(Method::PUT, "/v2/a/manifests/v1").header(CONTENT_TYPE, OCI_MANIFEST);
        Answer::to(request.body(body)).await.expect_error(StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID");
    }
    assert_nothing_was_stored(&registry, &large).await;
}

#[tokio::test]
async fn a_lower_limit_hides_nothing_that_is_stored() {
    let stored = image(json!({ "annotations": { "large": "x".repeat(5000) } }));
    let setup = Setup::filesystem();
    let registry = setup.start().await;
    push_blobs(&registry, "a").await;
    let digest = push(&registry, "a", Some("v1"), &stored).await;
    drop(registry);
    let registry = setup.set("validation.manifests.maxbytes", "5000").start().await;
    assert_serves(&registry, "/v2/a/manifests/v1", OCI_MANIFEST, &stored, &digest).await;
    let put = registry.put_manifest("a", "v2", OCI_MANIFEST, stored).await;
    put.expect_error(StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID");
    push(&registry, "a", Some("v2"), &image(json!({}))).await;
}

#[tokio::test]
async fn each_missing_blob_is_named() {
    let (first, second) = (descriptor(OCI_LAYER, b"first"), descriptor(OCI_LAYER, b"second"));
    let content = image(json!({ "layers": [first, second, first] }));
    for registry in registries().await {
        push_blobs(&registry, "a").await;
        // Content that another repository has is not content of this one.
        registry.push_blob("b", "first").await;
        let put = registry.put_manifest("a", "v1", OCI_MANIFEST, content.clone()).await;
        let errors = put.expect_error(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN").json()["errors"].clone();
        let mut named: Vec<&str> =
            errors.as_array().unwrap().iter().map(|error| error["detail"]["digest"].as_str().unwrap()).collect();
        named.sort_unstable();
        let mut missing = [sha256(b"first"), sha256(b"second")];
        missing.sort_unstable();
        assert_eq!(named, missing);
        assert_nothing_was_stored(&registry, &content).await;
        registry.push_blob("a", "first").await;
        registry.push_blob("a", "second").await;
        push(&registry, "a", Some("v1"), &content).await;
    }
}

#[tokio::test]
async fn layers_that_are_fetched_elsewhere_need_not_be_here() {
    let foreign = |media_type: &str, urls: Value| {
        let mut layer = descriptor(media_type, media_type.as_bytes());
        layer["urls"] = urls;
        image(json!({ "layers": [layer] }))
    };
    let elsewhere = json!(["https://example.com/layer"]);
    let rows = [
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", elsewhere.clone(), StatusCode::CREATED),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", elsewhere.clone(), StatusCode::CREATED),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", json!([]), StatusCode::BAD_REQUEST),
        (OCI_LAYER, elsewhere, StatusCode::BAD_REQUEST),
    ];
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    for (media_type, urls, status) in rows {
        registry.put_manifest("a", "v1", OCI_MANIFEST, foreign(media_type, urls)).await.expect(status);
    }
}

#[tokio::test]
async fn the_operator_decides_what_may_be_missing() {
    let absent = image(json!({ "annotations": { "pushed": "no" } }));
    let sparse_index = index(&[absent], json!({}));
    let sparse_image = image(json!({ "layers": [descriptor(OCI_LAYER, b"absent")] }));
    let strict = Setup::memory().set("validation.manifests.indexes.platforms", "all");
    let lax = Setup::memory().set("validation.disabled", "true");
    let (taken, refused) = (StatusCode::CREATED, StatusCode::BAD_REQUEST);
    let rows = [(Setup::memory(), taken, refused), (strict, refused, refused), (lax, taken, taken)];
    for (setup, of_index, of_image) in rows {
        let registry = setup.start().await;
        push_blobs(&registry, "a").await;
        registry.put_manifest("a", "index", OCI_INDEX, sparse_index.clone()).await.expect(of_index);
        registry.put_manifest("a", "image", OCI_MANIFEST, sparse_image.clone()).await.expect(of_image);
        let whole = image(json!({}));
        push(&registry, "a", None, &whole).await;
        push(&registry, "a", None, &index(&[whole], json!({}))).await;
    }
}

#[tokio::test]
async fn a_tag_is_deleted_alone_and_a_manifest_with_its_tags() {
    let (one, other) = (image_number(1), image_number(2));
    for registry in registries().await {
        push_blobs(&registry, "a").await;
        let digest = push(&registry, "a", Some("v1"), &one).await;
        push(&registry, "a", Some("v2"), &one).await;
        push(&registry, "a", Some("v3"), &one).await;
        push(&registry, "a", Some("kept"), &other).await;
        push(&registry, "a", Some("moved"), &one).await;
        push(&registry, "a", Some("moved"), &other).await;
        let by_digest = format!("/v2/a/manifests/{digest}");

        registry.delete("/v2/a/manifests/v1").await.expect(StatusCode::ACCEPTED);
        registry.get("/v2/a/manifests/v1").await.expect_error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
        registry.delete("/v2/a/manifests/v1").await.expect_error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
        registry.get(&by_digest).await.expect(StatusCode::OK);

        registry.delete(&by_digest).await.expect(StatusCode::ACCEPTED);
        for gone in [&*by_digest, "/v2/a/manifests/v2", "/v2/a/manifests/v3"] {
            registry.head(gone).await.expect(StatusCode::NOT_FOUND);
        }
        registry.delete(&by_digest).await.expect_error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
        let tags = registry.get("/v2/a/tags/list").await.json();
        assert_eq!(tags, json!({ "name": "a", "tags": ["kept", "moved"] }));
        push(&registry, "a", Some("v1"), &one).await;
        registry.get(&by_digest).await.expect(StatusCode::OK);
    }
}

#[tokio::test]
async fn one_switch_forbids_every_deletion() {
    let registry = Setup::memory().set("storage.delete.enabled", "false").start().await;
    push_blobs(&registry, "a").await;
    let digest = push(&registry, "a", Some("v1"), &image(json!({}))).await;
    let blob = sha256(b"a layer");
    for location in [
        "/v2/a/manifests/v1",
        "/v2/a/manifests/none",
        &format!("/v2/a/manifests/{digest}"),
        &format!("/v2/a/blobs/{blob}"),
    ] {
        registry.delete(location).await.expect_error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    }
    registry.get("/v2/a/manifests/v1").await.expect(StatusCode::OK);
    registry.get(&format!("/v2/a/blobs/{blob}")).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    push(&registry, "a", Some("v1"), &image(json!({}))).await;
    let layer = sha256(b"a layer");
    let rows = [
        ("/v2/a/manifests/none".to_owned(), StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
        ("/v2/none/manifests/v1".to_owned(), StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
        (format!("/v2/a/manifests/{}", sha256(b"none")), StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
        // A blob is no manifest, and the manifest of one repository is none of another.
        (format!("/v2/a/manifests/{layer}"), StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
        (format!("/v2/b/manifests/{}", sha256(&image(json!({})))), StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
        ("/v2/a/manifests/.hidden".to_owned(), StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
        ("/v2/a/manifests/sha256:bad".to_owned(), StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
        ("/v2/A/manifests/v1".to_owned(), StatusCode::BAD_REQUEST, "NAME_INVALID"),
    ];
    for (location, status, code) in rows {
        registry.get(&location).await.expect_error(status, code);
        registry.head(&location).await.expect(status);
    }
}

#[tokio::test]
async fn of_two_pushes_of_a_tag_one_stays_whole() {
    const PUSHES: usize = 8;
    for registry in registries().await {
        push_blobs(&registry, "a").await;
        let images: Vec<Vec<u8>> = (0..PUSHES).map(image_number).collect();
        for _ in 0..5 {
            let digests = join_all(images.iter().map(|image| push(&registry, "a", Some("v1"), image))).await;
            let left = registry.get("/v2/a/manifests/v1").await.expect(StatusCode::OK);
            let digest = left.header("docker-content-digest");
            assert!(digests.iter().any(|pushed| pushed == digest) && sha256(&left.body) == digest);
        }
    }
}

#[tokio::test]
async fn of_a_push_and_a_deletion_at_once_one_is_the_later() {
    let content = image(json!({}));
    let by_digest = format!("/v2/a/manifests/{}", sha256(&content));
    for registry in registries().await {
        push_blobs(&registry, "a").await;
        for round in 0..30 {
            push(&registry, "a", Some("old"), &content).await;
            let tag = format!("v{}", round % 3);
            let (_, deleted) = tokio::join!(push(&registry, "a", Some(&tag), &content), registry.delete(&by_digest));
            deleted.expect(StatusCode::ACCEPTED);
            let (tagged, kept) =
                (registry.get(&format!("/v2/a/manifests/{tag}")).await, registry.get(&by_digest).await);
            assert_eq!(tagged.status, kept.status, "either both are there, or neither");
            let tags = registry.get("/v2/a/tags/list").await.expect(StatusCode::OK).json()["tags"].clone();
            for tag in tags.as_array().unwrap() {
                let tag = tag.as_str().unwrap();
                registry.get(&format!("/v2/a/manifests/{tag}")).await.expect(StatusCode::OK);
                registry.get(&by_digest).await.expect(StatusCode::OK);
            }
        }
    }
}

#[tokio::test]
async fn what_was_pushed_is_there_after_a_crash() {
    let registry = Setup::filesystem().start().await;
    push_blobs(&registry, "a").await;
    let content = image(json!({}));
    let digest = push(&registry, "a", Some("v1"), &content).await;
    let registry = registry.restart(rustix::process::Signal::KILL).await;
    assert_serves(&registry, "/v2/a/manifests/v1", OCI_MANIFEST, &content, &digest).await;
}

#[tokio::test]
async fn a_damaged_store_is_told_to_the_operator_and_not_to_clients() {
    // What is remembered is not seen to be damaged.
    let setup = Setup::filesystem().set("cache.maxbytes", "0");
    let registry = setup.start().await;
    push_blobs(&registry, "a").await;
    let digest = push(&registry, "a", Some("v1"), &image_number(1)).await;
    push(&registry, "a", Some("v2"), &image_number(2)).await;
    let store = setup.data().join("docker/registry/v2");
    let hex = digest.strip_prefix("sha256:").unwrap();
    std::fs::remove_file(store.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]))).unwrap();
    std::fs::write(store.join("repositories/a/_manifests/tags/v2/current/link"), "").unwrap();
    for tag in ["v1", "v2"] {
        let location = format!("/v2/a/manifests/{tag}");
        registry.get(&location).await.expect_error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    }
    let log = registry.log();
    assert!(log.contains("the content of a manifest is gone") && log.contains("does not hold a digest"), "{log}");
    push(&registry, "a", Some("v1"), &image_number(1)).await;
    push(&registry, "a", Some("v2"), &image_number(2)).await;
    registry.get("/v2/a/manifests/v1").await.expect(StatusCode::OK);
    registry.get("/v2/a/manifests/v2").await.expect(StatusCode::OK);
}
