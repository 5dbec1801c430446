//! Referrers: the manifests that are about another one, listed as an image index.

use serde::Serialize;

use crate::{Descriptor, Digest, Manifest, Tag, media_type};

/// The body of a response with a page of referrers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferrersIndex<'a> {
    schema_version: u32,
    media_type: &'static str,
    manifests: &'a [Descriptor],
}

impl<'a> ReferrersIndex<'a> {
    pub fn new(referrers: &'a [Descriptor]) -> ReferrersIndex<'a> {
        ReferrersIndex { schema_version: 2, media_type: media_type::OCI_IMAGE_INDEX, manifests: referrers }
    }
}

/// How a manifest is listed among the referrers of its subject.
pub fn describe(manifest: &Manifest, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: Some(manifest.media_type().to_owned()),
        digest,
        size,
        artifact_type: manifest.artifact_type().map(str::to_owned),
        annotations: manifest.annotations().clone(),
        urls: Vec::new(),
    }
}

/// The tag at which clients keep the list themselves where a registry has none.
pub fn fallback_tag(subject: &Digest) -> Tag {
    const ENCODED_MAX: usize = 64;
    let encoded = subject.hex().get(..ENCODED_MAX).unwrap_or(subject.hex());
    Tag::of_known_form(&format!("{}-{encoded}", subject.algorithm()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Algorithm;

    #[test]
    fn a_manifest_is_listed_with_type_and_annotations() {
        let config = Digest::of(Algorithm::Sha256, b"{}");
        let content = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_IMAGE_MANIFEST,
            "config": {"mediaType": "application/vnd.example", "digest": config, "size": 2},
            "layers": [],
            "annotations": {"a": "b"},
        });
        let manifest = Manifest::parse(content.to_string().as_bytes(), None).unwrap();
        let digest = Digest::of(Algorithm::Sha512, b"manifest");
        let listed = [describe(&manifest, digest.clone(), 7)];
        let expected = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_IMAGE_INDEX,
            "manifests": [{
                "mediaType": media_type::OCI_IMAGE_MANIFEST,
                "digest": digest,
                "size": 7,
                "artifactType": "application/vnd.example",
                "annotations": {"a": "b"},
            }],
        });
        assert_eq!(serde_json::to_value(ReferrersIndex::new(&listed)).unwrap(), expected);
    }

    #[test]
    fn no_referrers_are_an_empty_list() {
        let body = serde_json::to_value(ReferrersIndex::new(&[])).unwrap();
        assert_eq!(body["manifests"], json!([]));
    }

    #[test]
    fn fallback_tags_are_tags() {
        for algorithm in Algorithm::ALL {
            let digest = Digest::of(algorithm, b"");
            let tag = fallback_tag(&digest);
            assert_eq!(Tag::parse(tag.as_str()), Ok(tag.clone()));
            assert_eq!(tag.as_str(), format!("{algorithm}-{}", &digest.hex()[..64]));
        }
    }
}
