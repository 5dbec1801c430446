//! What manifests are accepted, as what they are read, and what the refusals say.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::media_type::*;
use crate::{Algorithm, Digest};

fn descriptor(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(Algorithm::Sha256, media_type.as_bytes()), "size": 3})
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE_MANIFEST,
        "config": descriptor(OCI_IMAGE_CONFIG),
        "layers": [descriptor(OCI_IMAGE_LAYER_GZIP), descriptor(OCI_IMAGE_LAYER_ZSTD)],
    })
}

fn index() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE_INDEX,
        "manifests": [descriptor(OCI_IMAGE_MANIFEST), descriptor(DOCKER_MANIFEST_LIST)],
    })
}

/// The document with this value at the JSON pointer's place; `None` takes it away.
fn with(mut document: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match value {
        Some(value) if parent.is_object() => parent[key] = value,
        Some(value) => parent[key.parse::<usize>().unwrap()] = value,
        None => drop(parent.as_object_mut().unwrap().remove(key)),
    }
    document
}

fn parse(document: &Value, content_type: Option<&str>) -> Result<Manifest, InvalidManifest> {
    Manifest::parse(document.to_string().as_bytes(), content_type)
}

fn refusal(document: &Value, content_type: Option<&str>) -> String {
    parse(document, content_type).unwrap_err().to_string()
}

#[test]
fn types_follow_from_the_content() {
    let typed = |document, name: &str| with(document, "/mediaType", Some(json!(name)));
    let untyped = |document| with(document, "/mediaType", None);
    let rows = [
        (image(), OCI_IMAGE_MANIFEST, Kind::Image),
        (index(), OCI_IMAGE_INDEX, Kind::Index),
        (typed(image(), DOCKER_MANIFEST), DOCKER_MANIFEST, Kind::Image),
        (typed(index(), DOCKER_MANIFEST_LIST), DOCKER_MANIFEST_LIST, Kind::Index),
        (untyped(image()), OCI_IMAGE_MANIFEST, Kind::Image),
        (untyped(index()), OCI_IMAGE_INDEX, Kind::Index),
        (typed(image(), ""), OCI_IMAGE_MANIFEST, Kind::Image),
        (with(image(), "/manifests", Some(Value::Null)), OCI_IMAGE_MANIFEST, Kind::Image),
        (with(index(), "/manifests", Some(Value::Null)), OCI_IMAGE_INDEX, Kind::Index),
    ];
    for (document, media_type, kind) in rows {
        let with_parameters = format!("{media_type}; charset=utf-8");
        for content_type in [None, Some(media_type), Some(&with_parameters), Some(JSON), Some("")] {
            let manifest = parse(&document, content_type).unwrap();
            assert_eq!((manifest.media_type(), manifest.kind()), (media_type, kind), "{document}");
        }
    }
}

#[test]
fn an_image_names_config_then_layers() {
    let manifest = parse(&image(), None).unwrap();
    let types: Vec<_> = manifest.blobs().iter().map(|blob| blob.media_type.as_deref().unwrap()).collect();
    assert_eq!(types, [OCI_IMAGE_CONFIG, OCI_IMAGE_LAYER_GZIP, OCI_IMAGE_LAYER_ZSTD]);
    assert!(manifest.manifests().is_empty());
    assert_eq!(manifest.blobs()[0].size, 3);
}

#[test]
fn an_index_names_manifests_and_may_name_blobs() {
    let entries = json!([descriptor(OCI_IMAGE_INDEX), descriptor(OCI_IMAGE_LAYER_GZIP), descriptor(DOCKER_MANIFEST)]);
    let manifest = parse(&with(index(), "/manifests", Some(entries)), None).unwrap();
    assert_eq!((manifest.manifests().len(), manifest.blobs().len()), (2, 1));

    let untyped = with(index(), "/manifests/0/mediaType", None);
    assert_eq!(parse(&untyped, None).unwrap().manifests().len(), 2);
}

#[test]
fn an_image_may_have_no_layers() {
    for layers in [Some(json!([])), Some(Value::Null), None] {
        let manifest = parse(&with(image(), "/layers", layers), None).unwrap();
        assert_eq!(manifest.blobs().len(), 1);
    }
}

#[test]
fn artifact_types() {
    let artifact = with(image(), "/artifactType", Some(json!("application/vnd.example")));
    let rows = [
        (parse(&artifact, None), Some("application/vnd.example")),
        (parse(&with(artifact, "/artifactType", Some(json!(""))), None), Some(OCI_IMAGE_CONFIG)),
        (parse(&image(), None), Some(OCI_IMAGE_CONFIG)),
        (parse(&index(), None), None),
        (parse(&with(index(), "/artifactType", Some(json!("a/b"))), None), Some("a/b")),
    ];
    for (manifest, expected) in rows {
        assert_eq!(manifest.unwrap().artifact_type(), expected);
    }
}

#[test]
fn subject_and_annotations() {
    let subject = descriptor(OCI_IMAGE_MANIFEST);
    let document = with(index(), "/subject", Some(subject.clone()));
    let manifest = parse(&with(document, "/annotations", Some(json!({"a": "b"}))), None).unwrap();
    assert_eq!(serde_json::to_value(manifest.subject()).unwrap(), subject);
    assert_eq!(manifest.annotations()["a"], "b");

    let bare = parse(&with(index(), "/annotations", Some(Value::Null)), None).unwrap();
    assert!(bare.subject().is_none() && bare.annotations().is_empty());
}

#[test]
fn foreign_layers_say_where_they_are() {
    let urls = || Some(json!(["https://example.com/layer"]));
    let foreign = |name: &str| descriptor(&format!("{name}tar.gzip"));
    for (prefix, expected) in
        [(OCI_NONDISTRIBUTABLE_LAYER_PREFIX, true), (DOCKER_FOREIGN_LAYER_PREFIX, true), (OCI_IMAGE_LAYER, false)]
    {
        let document = with(image(), "/layers/0", Some(foreign(prefix)));
        assert!(!parse(&document, None).unwrap().blobs()[1].is_foreign(), "{prefix}");
        let document = with(document, "/layers/0/urls", urls());
        assert_eq!(parse(&document, None).unwrap().blobs()[1].is_foreign(), expected, "{prefix}");
    }
}

#[test]
fn refusals_name_what_is_wrong() {
    let big = u64::MAX;
    let size = |size| with(image(), "/layers/1/size", Some(size));
    let rows = [
        (with(image(), "/schemaVersion", None), "'schemaVersion' must be 2"),
        (with(image(), "/schemaVersion", Some(json!(3))), "'schemaVersion' must be 2"),
        (with(image(), "/schemaVersion", Some(json!(1))), "schema 1 are not supported"),
        (with(image(), "/schemaVersion", Some(json!("2"))), "is not as it must be at 'schemaVersion'"),
        (with(image(), "/mediaType", Some(json!("application/vnd.x"))), "'application/vnd.x' are not supported"),
        (with(image(), "/mediaType", Some(json!(OCI_IMAGE_INDEX))), "never both"),
        (with(index(), "/mediaType", Some(json!(DOCKER_MANIFEST))), "never both"),
        (with(image(), "/manifests", Some(json!([]))), "never both"),
        (with(index(), "/layers", Some(json!([]))), "never both"),
        (with(index(), "/config", Some(descriptor(OCI_IMAGE_CONFIG))), "never both"),
        (json!({"schemaVersion": 2}), "has neither a 'mediaType' nor fields"),
        (with(image(), "/config", None), "has no 'config'"),
        (with(image(), "/config", Some(json!({}))), "is not as it must be at 'config': missing field `digest`"),
        (
            with(image(), "/config/digest", Some(json!("sha256:x"))),
            "is not as it must be at 'config.digest': a digest is",
        ),
        (
            with(image(), "/layers/0/digest", Some(json!("md5:ab"))),
            "is not as it must be at 'layers[0].digest': the digest algorithm 'md5'",
        ),
        (size(json!(-1)), "is not as it must be at 'layers[1].size': invalid value: integer `-1`"),
        (size(json!(1.5)), "is not as it must be at 'layers[1].size'"),
        (size(json!(big)), "is not as it must be at 'layers[1].size': a size has at most 63 bits"),
        (size(Value::Null), "is not as it must be at 'layers[1].size'"),
        (with(image(), "/layers", Some(json!({}))), "is not as it must be at 'layers'"),
        (
            with(image(), "/layers/0", Some(json!([OCI_IMAGE_LAYER, "sha256:x", 3]))),
            "is not as it must be at 'layers[0]': invalid type: sequence, expected a JSON object",
        ),
        (with(index(), "/subject", Some(json!("x"))), "is not as it must be at 'subject'"),
        (with(index(), "/annotations", Some(json!({"a": 1}))), "is not as it must be at 'annotations.a'"),
        (json!([2, OCI_IMAGE_INDEX]), "expected a JSON object"),
    ];
    for (document, expected) in rows {
        let refusal = refusal(&document, None);
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[test]
fn content_type_must_agree() {
    let rows = [
        (image(), DOCKER_MANIFEST, "was sent as"),
        (index(), OCI_IMAGE_MANIFEST, "was sent as"),
        (with(image(), "/mediaType", None), DOCKER_MANIFEST, "was sent as"),
        (with(image(), "/mediaType", None), "application/vnd.example", "was sent as"),
        (image(), DOCKER_SCHEMA1_SIGNED, "schema 1 are not supported"),
    ];
    for (document, content_type, expected) in rows {
        let refusal = refusal(&document, Some(content_type));
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[test]
fn text_that_is_not_one_json_document() {
    let whole = image().to_string();
    for content in ["", " ", "{", &whole[..whole.len() - 1], &format!("{whole}{whole}"), "\u{feff}{}"] {
        assert!(matches!(Manifest::parse(content.as_bytes(), None), Err(InvalidManifest::NotJson(_))), "{content}");
    }
    assert!(Manifest::parse(format!("\n{whole}  ").as_bytes(), None).is_ok());
    let not_utf8 = [b"{\"x\":\"\xff\",", &whole.as_bytes()[1..]].concat();
    assert!(matches!(Manifest::parse(&not_utf8, None), Err(InvalidManifest::NotJson(_))));
}

#[test]
fn fields_that_are_there_twice() {
    let twice = |document: Value, field: &str| document.to_string().replacen('{', &format!("{{{field},"), 1);
    for content in [
        twice(image(), "\"mediaType\":null"),
        twice(image(), "\"layers\":[]"),
        twice(index(), "\"manifests\":null"),
        image().to_string().replacen("\"size\":3", "\"size\":3,\"size\":4", 1),
    ] {
        let refusal = Manifest::parse(content.as_bytes(), None).unwrap_err().to_string();
        assert!(refusal.contains("duplicate field"), "{refusal}");
    }
    assert!(Manifest::parse(twice(image(), "\"x\":1,\"x\":2").as_bytes(), None).is_ok());
}

#[test]
fn depth_and_length_cost_nothing() {
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    let unknown = image().to_string().replacen('{', &format!("{{\"x\":{deep},"), 1);
    assert!(Manifest::parse(unknown.as_bytes(), None).is_ok());
    let known = image().to_string().replacen('{', &format!("{{\"subject\":{deep},"), 1);
    assert!(Manifest::parse(known.as_bytes(), None).is_err());

    let long = "\u{1d11e}".repeat(100_000);
    for document in [
        with(image(), "/mediaType", Some(json!(long))),
        with(image(), "/config/size", Some(json!(long))),
        with(image(), "/annotations", Some(json!({ &long: 1 }))),
    ] {
        assert!(refusal(&document, Some(&long)).len() < 2000);
    }
}

#[test]
fn descriptors_are_bounded() {
    let layers = |count: usize| with(image(), "/layers", Some(vec![descriptor(OCI_IMAGE_LAYER); count].into()));
    assert_eq!(parse(&layers(DESCRIPTORS_MAX - 1), None).unwrap().blobs().len(), DESCRIPTORS_MAX);
    assert_eq!(parse(&layers(DESCRIPTORS_MAX), None), Err(InvalidManifest::TooManyDescriptors));
}

/// Any document that is made of the fields of manifests, with values that fit often enough.
fn any_document() -> impl Strategy<Value = Value> {
    let types = prop::sample::select(vec![OCI_IMAGE_MANIFEST, OCI_IMAGE_INDEX, DOCKER_MANIFEST, OCI_IMAGE_LAYER, ""]);
    let entry = types.clone().prop_map(descriptor);
    let entries = prop_oneof![
        3 => prop::collection::vec(entry.clone(), 0..3).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!({})),
    ];
    let fields = prop_oneof![
        (Just("mediaType"), types.prop_map(Value::from)),
        (Just("config"), entry.clone()),
        (Just("subject"), entry),
        (Just("layers"), entries.clone()),
        (Just("manifests"), entries),
        (Just("schemaVersion"), Just(json!(1))),
        (Just("artifactType"), Just(json!("a/b"))),
    ];
    prop::collection::vec(fields, 0..6).prop_map(|fields| {
        let version = ("schemaVersion", json!(2));
        [version].into_iter().chain(fields).map(|(name, value)| (name.to_owned(), value)).collect()
    })
}

proptest! {
    #[test]
    fn garbage_is_refused(content: Vec<u8>, content_type in prop::option::of("\\PC{0,20}")) {
        prop_assert!(Manifest::parse(&content, content_type.as_deref()).is_err());
    }

    #[test]
    fn what_was_accepted_is_read_alike_without_its_content_type(document in any_document(), sent_as in 0..TYPES.len()) {
        if let Ok(manifest) = parse(&document, Some(TYPES[sent_as].0)) {
            prop_assert_eq!(manifest.media_type(), TYPES[sent_as].0);
            prop_assert_eq!(parse(&document, None), Ok(manifest));
        }
    }
}
