//! [`Descriptor`]: what a manifest says of one thing that it names.
//!
//! Embedded `data`, `platform` and annotations are not read: a registry serves the bytes under the digest whatever these
//! say, and the specification leaves comparing them to whoever consumes the content.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Digest, bounded, media_type};

/// Type, digest and size of some content, and what else is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub digest: Digest,
    /// In bytes; never more than the signed 64 bits that the specification gives it.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Written only: what was read has none.
    #[serde(skip_deserializing, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "bounded::list", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

impl Descriptor {
    /// Whether this is a layer that clients fetch elsewhere, so that a registry may have to do without it.
    ///
    /// A layer of such a type that does not say from where can come from the registry alone, and is like any other.
    pub fn is_foreign(&self) -> bool {
        const PREFIXES: [&str; 2] =
            [media_type::OCI_NONDISTRIBUTABLE_LAYER_PREFIX, media_type::DOCKER_FOREIGN_LAYER_PREFIX];
        let name = self.media_type.as_deref().unwrap_or_default();
        !self.urls.is_empty() && PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    if i64::try_from(size).is_err() {
        return Err(D::Error::custom("a size has at most 63 bits"));
    }
    Ok(size)
}
