//! Tag lists: ordered, in pages, and of repositories that exist.

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::images::{image, image_number, next_page, pages, push, push_blobs, registries};
use crate::support::{Registry, Setup, sha256};

/// In the order in which they are listed: bytewise.
const TAGS: [&str; 8] = ["0", "1.10", "1.9", "A", "_", "a", "a-b", "a.b"];

async fn with_tags(registry: &Registry) {
    push_blobs(registry, "a/b").await;
    let content = image(json!({}));
    let tags = TAGS.iter().rev().copied().collect::<Vec<_>>().join("&tag=");
    let reference = format!("{}?tag={tags}", sha256(&content));
    let put = registry.put_manifest("a/b", &reference, "application/vnd.oci.image.manifest.v1+json", content).await;
    put.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn tags_are_listed_in_order() {
    let mut expected = TAGS;
    expected.sort_unstable();
    for registry in registries().await {
        with_tags(&registry).await;
        let answer = registry.get("/v2/a/b/tags/list").await.expect(StatusCode::OK);
        assert_eq!(answer.json(), json!({ "name": "a/b", "tags": expected }));
        assert_eq!((answer.header("content-type"), answer.header("link")), ("application/json", ""));
    }
}

#[tokio::test]
async fn a_page_holds_what_was_asked_for() {
    let rows: [(&str, &[&str], bool); 9] = [
        ("?n=3", &TAGS[..3], true),
        ("?n=8", &TAGS, false),
        ("?n=7", &TAGS[..7], true),
        ("?n=100000000000000", &TAGS, false),
        ("?n=0", &[], false),
        ("?n=2&last=1.9", &TAGS[3..5], true),
        ("?last=B", &TAGS[4..], false),
        ("?last=zzz", &[], false),
        ("?n=2&last=a-b", &TAGS[7..], false),
    ];
    for registry in registries().await {
        with_tags(&registry).await;
        for (query, tags, more) in rows {
            let answer = registry.get(&format!("/v2/a/b/tags/list{query}")).await.expect(StatusCode::OK);
            assert_eq!(answer.json()["tags"], json!(tags), "{query}");
            assert_eq!(next_page(answer.header("link")).is_some(), more, "{query}: {}", answer.header("link"));
        }
    }
}

#[tokio::test]
async fn links_lead_to_every_tag() {
    let all = json!(TAGS);
    for setup in [Setup::memory(), Setup::memory().set("tags.maxtags", "2")] {
        let registry = setup.start().await;
        with_tags(&registry).await;
        for query in ["", "?n=1", "?n=3"] {
            let pages = pages(&registry, &format!("/v2/a/b/tags/list{query}")).await;
            let tags: Vec<Value> = pages.iter().flat_map(|page| page["tags"].as_array().unwrap().clone()).collect();
            assert_eq!(json!(tags), all, "{query}");
        }
    }
    let registry = Setup::memory().set("tags.maxtags", "2").start().await;
    with_tags(&registry).await;
    for query in ["", "?n=8"] {
        let answer = registry.get(&format!("/v2/a/b/tags/list{query}")).await;
        assert_eq!(answer.json()["tags"], json!(TAGS[..2]), "{query}");
        assert_eq!(answer.header("link"), "</v2/a/b/tags/list?n=2&last=1.10>; rel=\"next\"");
    }
}

#[tokio::test]
async fn a_query_without_sense_is_refused() {
    let registry = Setup::memory().start().await;
    with_tags(&registry).await;
    let rows = [
        ("n=-1", "PAGINATION_NUMBER_INVALID"),
        ("n=many", "PAGINATION_NUMBER_INVALID"),
        ("n=", "PAGINATION_NUMBER_INVALID"),
        ("last=a/b", "TAG_INVALID"),
        ("last=%00", "TAG_INVALID"),
        ("last=..", "TAG_INVALID"),
    ];
    for (query, code) in rows {
        registry.get(&format!("/v2/a/b/tags/list?{query}")).await.expect_error(StatusCode::BAD_REQUEST, code);
    }
}

#[tokio::test]
async fn a_repository_exists_while_something_is_in_it() {
    for registry in registries().await {
        for unknown in ["none", "a", "a/b/c"] {
            let answer = registry.get(&format!("/v2/{unknown}/tags/list")).await;
            let error = answer.expect_error(StatusCode::NOT_FOUND, "NAME_UNKNOWN").json();
            assert_eq!(error["errors"][0]["detail"]["name"], unknown);
        }
        let digest = {
            push_blobs(&registry, "a/b").await;
            push(&registry, "a/b", Some("v1"), &image(json!({}))).await
        };
        registry.get("/v2/a/tags/list").await.expect_error(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
        registry.delete(&format!("/v2/a/b/manifests/{digest}")).await.expect(StatusCode::ACCEPTED);
        for query in ["", "?n=0"] {
            let answer = registry.get(&format!("/v2/a/b/tags/list{query}")).await.expect(StatusCode::OK);
            assert_eq!(answer.json(), json!({ "name": "a/b", "tags": [] }));
        }
        registry.post("/v2/uploading/blobs/uploads/").await.expect(StatusCode::ACCEPTED);
        registry.get("/v2/uploading/tags/list").await.expect(StatusCode::OK);
    }
}

#[tokio::test]
async fn a_tag_that_is_moved_while_what_it_named_is_deleted_is_not_lost() {
    let shared = Setup::filesystem().set("storage.filesystem.shared", "true");
    let memory = Setup::memory().start().await;
    let (one, other) = (shared.start().await, shared.start().await);
    let tags: Vec<String> = (0..20).map(|number| format!("t{number}")).collect();
    for (pusher, deleter) in [(&memory, &memory), (&one, &other)] {
        push_blobs(pusher, "a/b").await;
        for round in 0..8 {
            let (old, new) = (image_number(2 * round), image_number(2 * round + 1));
            join_all(tags.iter().map(|tag| push(pusher, "a/b", Some(tag), &old))).await;
            let location = format!("/v2/a/b/manifests/{}", sha256(&old));
            let moves = join_all(tags.iter().map(|tag| push(pusher, "a/b", Some(tag), &new)));
            let (deleted, _) = tokio::join!(deleter.delete(&location), moves);
            deleted.expect(StatusCode::ACCEPTED);
            for tag in &tags {
                let answer = pusher.head(&format!("/v2/a/b/manifests/{tag}")).await.expect(StatusCode::OK);
                assert_eq!(answer.header("docker-content-digest"), sha256(&new), "{tag}, round {round}");
            }
        }
    }
}
