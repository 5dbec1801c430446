//! Referrers: listed as soon as they are pushed, whoever keeps the list, until they are deleted.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::images::{
    OCI_INDEX, OCI_MANIFEST, descriptor, image, index, next_page, pages, push, push_blobs, registries,
};
use crate::pushing::sha512;
use crate::support::{Registry, Setup, sha256};

/// An image about `subject`, which differs from others by `number`.
fn referrer(subject: &Value, number: usize, artifact_type: &str) -> Vec<u8> {
    let annotations = json!({ "number": number.to_string() });
    image(json!({ "subject": subject, "artifactType": artifact_type, "annotations": annotations }))
}

fn digests(index: &Value) -> Vec<String> {
    index["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

async fn listed(registry: &Registry, repository: &str, subject: &str) -> Vec<String> {
    let answer = registry.get(&format!("/v2/{repository}/referrers/{subject}")).await.expect(StatusCode::OK);
    digests(&answer.json())
}

/// As referrers are listed.
fn in_order(mut digests: Vec<String>) -> Vec<String> {
    digests.sort_unstable();
    digests
}

#[tokio::test]
async fn a_referrer_is_described_from_its_content() {
    let subject = descriptor(OCI_MANIFEST, &image(json!({})));
    let config = json!({ "mediaType": "application/vnd.config", "digest": sha256(b"{}"), "size": 2 });
    let annotations = json!({ "org.example": "an annotation" });
    let rows = [
        (OCI_MANIFEST, image(json!({ "subject": subject, "artifactType": "a/b" })), json!("a/b"), Value::Null),
        (
            OCI_MANIFEST,
            image(json!({ "subject": subject, "config": config })),
            json!("application/vnd.config"),
            Value::Null,
        ),
        (
            OCI_MANIFEST,
            image(json!({ "subject": subject, "artifactType": "a/b", "annotations": annotations })),
            json!("a/b"),
            annotations,
        ),
        (OCI_INDEX, index(&[], json!({ "subject": subject, "artifactType": "c/d" })), json!("c/d"), Value::Null),
        (OCI_INDEX, index(&[], json!({ "subject": subject })), Value::Null, Value::Null),
    ];
    for registry in registries().await {
        for (number, (media_type, content, artifact_type, annotations)) in rows.iter().enumerate() {
            let name = format!("repository/{number}");
            push_blobs(&registry, &name).await;
            let put = registry.put_manifest(&name, "v1", media_type, content.clone()).await.expect(StatusCode::CREATED);
            assert_eq!(put.header("oci-subject"), subject["digest"]);
            let location = format!("/v2/{name}/referrers/{}", subject["digest"].as_str().unwrap());
            let answer = registry.get(&location).await.expect(StatusCode::OK);
            assert_eq!(answer.header("content-type"), OCI_INDEX);
            let mut expected = descriptor(media_type, content);
            expected["artifactType"] = artifact_type.clone();
            expected["annotations"] = annotations.clone();
            expected.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            let expected = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [expected] });
            assert_eq!(answer.json(), expected, "{}", String::from_utf8_lossy(content));
        }
    }
}

#[tokio::test]
async fn whoever_nothing_refers_to_has_an_empty_list() {
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    let unreferred = push(&registry, "a", None, &image(json!({}))).await;
    for location in [
        format!("/v2/a/referrers/{unreferred}"),
        format!("/v2/a/referrers/{}", sha256(b"none")),
        format!("/v2/a/referrers/{}", sha512(b"none")),
        format!("/v2/none/referrers/{unreferred}"),
        format!("/v2/a/referrers/{unreferred}?n=0"),
    ] {
        let answer = registry.get(&location).await.expect(StatusCode::OK);
        assert_eq!(answer.json(), json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }));
        assert_eq!((answer.header("content-type"), answer.header("oci-filters-applied")), (OCI_INDEX, ""));
    }
    let rows = [
        ("sha256:bad", "DIGEST_INVALID"),
        ("latest", "DIGEST_INVALID"),
        (&format!("{unreferred}?n=x"), "PAGINATION_NUMBER_INVALID"),
        (&format!("{unreferred}?last=x"), "DIGEST_INVALID"),
    ];
    for (subject, code) in rows {
        registry.get(&format!("/v2/a/referrers/{subject}")).await.expect_error(StatusCode::BAD_REQUEST, code);
    }
}

#[tokio::test]
async fn the_list_follows_pushes_and_deletions() {
    for registry in registries().await {
        push_blobs(&registry, "a").await;
        let image = image(json!({}));
        let subject = descriptor(OCI_MANIFEST, &image);
        // The first comes before its subject does.
        let first = push(&registry, "a", None, &referrer(&subject, 1, "x/y")).await;
        let subject_digest = push(&registry, "a", None, &image).await;
        let second = push(&registry, "a", Some("v2"), &referrer(&subject, 2, "x/y")).await;
        push(&registry, "a", None, &referrer(&subject, 2, "x/y")).await;
        assert_eq!(listed(&registry, "a", &subject_digest).await, in_order(vec![first.clone(), second.clone()]));
        registry.delete(&format!("/v2/a/manifests/{second}")).await.expect(StatusCode::ACCEPTED);
        assert_eq!(listed(&registry, "a", &subject_digest).await, std::slice::from_ref(&first));
        registry.delete(&format!("/v2/a/manifests/{subject_digest}")).await.expect(StatusCode::ACCEPTED);
        assert_eq!(listed(&registry, "a", &subject_digest).await, std::slice::from_ref(&first));
        registry.delete(&format!("/v2/a/manifests/{first}")).await.expect(StatusCode::ACCEPTED);
        assert!(listed(&registry, "a", &subject_digest).await.is_empty());
    }
}

#[tokio::test]
async fn sha512_names_subjects_and_referrers_too() {
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    let subject = image(json!({}));
    let named = json!({ "mediaType": OCI_MANIFEST, "digest": sha512(&subject), "size": subject.len() });
    let content = referrer(&named, 1, "x/y");
    for digest in [sha256(&content), sha512(&content)] {
        let put = registry.put_manifest("a", &digest, OCI_MANIFEST, content.clone()).await;
        assert_eq!(put.expect(StatusCode::CREATED).header("oci-subject"), sha512(&subject));
    }
    assert_eq!(listed(&registry, "a", &sha512(&subject)).await, [sha256(&content), sha512(&content)]);
    assert!(listed(&registry, "a", &sha256(&subject)).await.is_empty());
}

#[tokio::test]
async fn filter_and_pages_go_together() {
    for registry in registries().await {
        push_blobs(&registry, "a").await;
        let subject = descriptor(OCI_MANIFEST, b"never pushed");
        let mut wanted = Vec::new();
        for number in 0..12 {
            let artifact_type = ["application/wanted+json", "application/other"][number % 2];
            let digest = push(&registry, "a", None, &referrer(&subject, number, artifact_type)).await;
            wanted.extend(Some(digest).filter(|_| number % 2 == 0));
        }
        let location = format!("/v2/a/referrers/{}", subject["digest"].as_str().unwrap());
        for n in [1, 2, 5, 12, 1_000_000] {
            let all = pages(&registry, &format!("{location}?n={n}")).await;
            assert!(all.iter().all(|page| digests(page).len() <= n));
            let all: Vec<String> = all.iter().flat_map(digests).collect();
            assert_eq!((all.len(), in_order(all.clone())), (12, all), "in pages of {n}");

            let filtered = format!("{location}?n={n}&artifactType=application/wanted%2Bjson");
            assert_eq!(registry.get(&filtered).await.header("oci-filters-applied"), "artifactType");
            let filtered: Vec<String> = pages(&registry, &filtered).await.iter().flat_map(digests).collect();
            assert_eq!(filtered, in_order(wanted.clone()), "filtered in pages of {n}");
        }
        let none = registry.get(&format!("{location}?artifactType=application/wanted")).await;
        assert_eq!((digests(&none.json()), none.header("oci-filters-applied")), (vec![], "artifactType"));
    }
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes() {
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    let subject = descriptor(OCI_MANIFEST, b"never pushed");
    let mut pushed = Vec::new();
    for number in 0..5 {
        let annotations = json!({ "large": "x".repeat(1_500_000), "number": number.to_string() });
        pushed
            .push(push(&registry, "a", None, &image(json!({ "subject": subject, "annotations": annotations }))).await);
    }
    let location = format!("/v2/a/referrers/{}", subject["digest"].as_str().unwrap());
    let mut next = Some(location);
    let mut seen = Vec::new();
    while let Some(location) = next {
        let answer = registry.get(&location).await.expect(StatusCode::OK);
        assert!(answer.body.len() < 4 << 20);
        seen.extend(digests(&answer.json()));
        next = next_page(answer.header("link"));
    }
    assert_eq!(seen, in_order(pushed));
}

/// Clients that know no referrers API, or met a registry without it, keep the list at a tag.
#[tokio::test]
async fn a_list_that_clients_keep_at_a_tag_is_merged() {
    let setup = Setup::filesystem();
    let registry = setup.start().await;
    push_blobs(&registry, "a").await;
    let subject = descriptor(OCI_MANIFEST, b"never pushed");
    let referrers: Vec<Vec<u8>> = (0..3).map(|number| referrer(&subject, number, "x/y")).collect();
    let mut pushed = Vec::new();
    for content in &referrers {
        pushed.push(push(&registry, "a", None, content).await);
    }
    // As in a store that was written without an index.
    std::fs::remove_dir_all(setup.data().join("docker/registry/v2/repositories/a/_referrers")).unwrap();
    let subject_digest = subject["digest"].as_str().unwrap();
    assert!(listed(&registry, "a", subject_digest).await.is_empty());

    let unknown = image(json!({ "annotations": { "pushed": "never" } }));
    let at_tag = index(&[referrers[0].clone(), referrers[1].clone(), unknown], json!({}));
    push(&registry, "a", Some(&subject_digest.replace(':', "-")), &at_tag).await;
    push(&registry, "a", None, &referrers[1]).await;
    push(&registry, "a", None, &referrers[2]).await;
    assert_eq!(listed(&registry, "a", subject_digest).await, in_order(pushed.clone()));
    let paged = pages(&registry, &format!("/v2/a/referrers/{subject_digest}?n=1")).await;
    assert_eq!(paged.iter().flat_map(digests).collect::<Vec<_>>(), in_order(pushed));
}

#[tokio::test]
async fn a_tag_that_only_looks_like_a_list_changes_nothing() {
    let registry = Setup::memory().start().await;
    push_blobs(&registry, "a").await;
    let subject = descriptor(OCI_MANIFEST, b"never pushed");
    let subject_digest = subject["digest"].as_str().unwrap();
    push(&registry, "a", Some(&subject_digest.replace(':', "-")), &image(json!({}))).await;
    assert!(listed(&registry, "a", subject_digest).await.is_empty());
    let digest = push(&registry, "a", None, &referrer(&subject, 1, "x/y")).await;
    assert_eq!(listed(&registry, "a", subject_digest).await, [digest]);
}

#[tokio::test]
async fn the_index_is_rebuilt_from_the_manifests() {
    let setup = Setup::filesystem();
    let registry = setup.start().await;
    let subject = descriptor(OCI_MANIFEST, b"never pushed");
    let subject_digest = subject["digest"].as_str().unwrap();
    let mut pushed = BTreeSet::new();
    for name in ["a", "a/b", "c"] {
        push_blobs(&registry, name).await;
        push(&registry, name, Some("v1"), &image(json!({}))).await;
        pushed.insert(push(&registry, name, None, &referrer(&subject, 1, "x/y")).await);
    }
    drop(registry);
    for name in ["a", "a/b", "c"] {
        std::fs::remove_dir_all(setup.data().join(format!("docker/registry/v2/repositories/{name}/_referrers")))
            .unwrap();
    }
    let config = setup.folder().join("config.yml");
    let text = format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n", setup.data().display());
    std::fs::write(&config, text).unwrap();
    let output = Setup::unsaid().argument(&config).run("rebuild-referrers").await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let registry = setup.start().await;
    for name in ["a", "a/b", "c"] {
        assert_eq!(listed(&registry, name, subject_digest).await, pushed.iter().cloned().collect::<Vec<_>>(), "{name}");
    }
}
