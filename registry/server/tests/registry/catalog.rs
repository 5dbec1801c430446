//! The catalog: every repository with a manifest, in order and in pages.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::images::{image, next_page, pages, push, push_blobs, registries};
use crate::support::{Registry, Setup};

/// In the order in which they are listed: component by component, a repository before those below it.
const NAMES: [&str; 9] = ["0", "a", "a/0", "a/b", "a/b/c/d", "a/z", "a-b", "a.b/c", "b"];

async fn with_repositories(registry: &Registry) {
    for name in NAMES.iter().rev() {
        push_blobs(registry, name).await;
        push(registry, name, Some("v1"), &image(json!({}))).await;
    }
}

#[tokio::test]
async fn repositories_are_listed_in_order_and_in_pages() {
    let rows: [(&str, &[&str], bool); 12] = [
        ("", &NAMES, false),
        ("?n=9", &NAMES, false),
        ("?n=8", &NAMES[..8], true),
        ("?n=1000000000000", &NAMES, false),
        ("?n=0", &[], false),
        ("?n=2&last=a", &NAMES[2..4], true),
        ("?n=2&last=a/b", &NAMES[4..6], true),
        ("?last=a/b/c/d", &NAMES[5..], false),
        // Names that are not there: below one that is, between two, after all.
        ("?last=a/b/c", &NAMES[4..], false),
        ("?last=a/c/x", &NAMES[5..], false),
        ("?last=a-a", &NAMES[6..], false),
        ("?last=b/x", &[], false),
    ];
    for registry in registries().await {
        with_repositories(&registry).await;
        for (query, names, more) in rows {
            let answer = registry.get(&format!("/v2/_catalog{query}")).await.expect(StatusCode::OK);
            assert_eq!(answer.json(), json!({ "repositories": names }), "{query}");
            assert_eq!(next_page(answer.header("link")).is_some(), more, "{query}: {}", answer.header("link"));
        }
        for n in 1..=4 {
            let pages = pages(&registry, &format!("/v2/_catalog?n={n}")).await;
            let names: Vec<Value> =
                pages.iter().flat_map(|page| page["repositories"].as_array().unwrap().clone()).collect();
            assert_eq!(json!(names), json!(NAMES), "in pages of {n}");
        }
    }
}

#[tokio::test]
async fn a_repository_without_manifests_is_not_listed() {
    for registry in registries().await {
        push_blobs(&registry, "blobs/only").await;
        push_blobs(&registry, "whole").await;
        let digest = push(&registry, "whole", Some("v1"), &image(json!({}))).await;
        registry.post("/v2/uploading/blobs/uploads/").await.expect(StatusCode::ACCEPTED);
        let listed = async || registry.get("/v2/_catalog").await.expect(StatusCode::OK).json();
        assert_eq!(listed().await, json!({ "repositories": ["whole"] }));
        registry.delete(&format!("/v2/whole/manifests/{digest}")).await.expect(StatusCode::ACCEPTED);
        assert_eq!(listed().await, json!({ "repositories": [] }));
    }
}

#[tokio::test]
async fn the_operator_bounds_a_page() {
    let registry = Setup::memory().set("catalog.maxentries", "2").start().await;
    with_repositories(&registry).await;
    for query in ["", "?n=5"] {
        let answer = registry.get(&format!("/v2/_catalog{query}")).await.expect(StatusCode::OK);
        assert_eq!(answer.json()["repositories"], json!(NAMES[..2]), "{query}");
        assert_eq!(answer.header("link"), "</v2/_catalog?n=2&last=a>; rel=\"next\"");
    }
}

#[tokio::test]
async fn a_query_without_sense_is_refused() {
    let registry = Setup::memory().start().await;
    let rows = [
        ("n=-1", "PAGINATION_NUMBER_INVALID"),
        ("n=x", "PAGINATION_NUMBER_INVALID"),
        ("last=A", "NAME_INVALID"),
        ("last=../a", "NAME_INVALID"),
        ("last=a//b", "NAME_INVALID"),
        ("last=a/_manifests", "NAME_INVALID"),
    ];
    for (query, code) in rows {
        registry.get(&format!("/v2/_catalog?{query}")).await.expect_error(StatusCode::BAD_REQUEST, code);
    }
}
