//! [`Manifest`]: what a registry must know of a manifest: its type, and what it names.
//!
//! The bytes are all that a store keeps of a manifest, so its type must follow from them alone; a `Content-Type` can only
//! agree. Fields that are not named here are skipped without being built or descended into, however deep they are.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::descriptor::Descriptor;
use crate::object::Object;
use crate::{bounded, media_type};

/// The most descriptors in one manifest. Each may cost a question to the store when the manifest is pushed; the largest
/// images have a few hundred layers, the largest indexes some thousand entries.
const DESCRIPTORS_MAX: usize = 10_000;

/// Whether a manifest stands for one thing or for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Image,
    Index,
}

const TYPES: [(&str, Kind); 4] = [
    (media_type::OCI_IMAGE_MANIFEST, Kind::Image),
    (media_type::OCI_IMAGE_INDEX, Kind::Index),
    (media_type::DOCKER_MANIFEST, Kind::Image),
    (media_type::DOCKER_MANIFEST_LIST, Kind::Index),
];

/// What clients send as `Content-Type` when they have nothing to say.
const MEANINGLESS: [&str; 5] =
    ["", media_type::JSON, media_type::OCTET_STREAM, "text/plain", "application/x-www-form-urlencoded"];

/// A manifest or index of OCI, or one of Docker's second schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    media_type: &'static str,
    kind: Kind,
    blobs: Vec<Descriptor>,
    manifests: Vec<Descriptor>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    annotations: BTreeMap<String, String>,
}

/// Why content is not a [`Manifest`]; each says it in a sentence for whoever pushed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    #[error("the manifest is not JSON: {0}")]
    NotJson(String),
    #[error("the manifest is not as it must be at '{path}': {reason}")]
    Field { path: String, reason: String },
    #[error("manifests of Docker's schema 1 are not supported: push the image again with a newer client")]
    Schema1,
    #[error("the manifest's field 'schemaVersion' must be 2")]
    SchemaVersion,
    #[error("manifests of the type '{0}' are not supported")]
    UnsupportedType(String),
    #[error("the manifest was sent as '{content_type}', but by its content it is '{media_type}'")]
    TypeMismatch { content_type: String, media_type: &'static str },
    #[error("the manifest has neither a 'mediaType' nor fields from which it could be told")]
    UnknownType,
    #[error("a manifest has either 'config' and 'layers' or 'manifests', as its type demands, and never both")]
    Ambiguous,
    #[error("the manifest has no 'config'")]
    ConfigMissing,
    #[error("a manifest names at most {DESCRIPTORS_MAX} things")]
    TooManyDescriptors,
}

impl Manifest {
    /// Reads a manifest, bounding everything but its length, and checks that it is of the type it was sent as.
    pub fn parse(content: &[u8], content_type: Option<&str>) -> Result<Manifest, InvalidManifest> {
        let document = Document::parse(content)?;
        let sent_as = content_type.map(without_parameters).filter(|name| !MEANINGLESS.contains(name));
        document.check_schema(sent_as)?;
        let (media_type, kind) = document.media_type()?;
        match sent_as {
            Some(name) if !name.eq_ignore_ascii_case(media_type) => {
                Err(InvalidManifest::TypeMismatch { content_type: clip(&name), media_type })
            }
            _ => document.into_manifest(media_type, kind),
        }
    }

    /// What to answer as `Content-Type`.
    pub fn media_type(&self) -> &'static str {
        self.media_type
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What must be in the repository as a blob: config and layers, in this order. Also the entries of an index that are
    /// no manifests, as of those with which builders keep their caches.
    pub fn blobs(&self) -> &[Descriptor] {
        &self.blobs
    }

    /// What must be in the repository as a manifest.
    pub fn manifests(&self) -> &[Descriptor] {
        &self.manifests
    }

    /// The manifest that this one is about; it may come later or never.
    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// What kind of artifact this is; an image that does not say so is what its config is.
    pub fn artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref()
    }

    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }
}

/// A manifest of any type as it is written. A field that is there twice is refused, since others might read the other.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Object<Descriptor>>,
    layers: Option<Vec<Object<Descriptor>>>,
    manifests: Option<Vec<Object<Descriptor>>>,
    subject: Option<Object<Descriptor>>,
    #[serde(default, deserialize_with = "bounded::map")]
    annotations: BTreeMap<String, String>,
}

impl Document {
    fn parse(content: &[u8]) -> Result<Document, InvalidManifest> {
        let text = str::from_utf8(content).map_err(|error| InvalidManifest::NotJson(clip(&error)))?;
        let document: Object<Document> = serde_json::from_str(text).map_err(|error| refuse_text(text, &error))?;
        Ok(document.into_inner())
    }

    fn check_schema(&self, sent_as: Option<&str>) -> Result<(), InvalidManifest> {
        let schema1 = [Some(media_type::DOCKER_SCHEMA1), Some(media_type::DOCKER_SCHEMA1_SIGNED)];
        match self.schema_version {
            Some(1) => Err(InvalidManifest::Schema1),
            _ if schema1.contains(&sent_as) => Err(InvalidManifest::Schema1),
            Some(2) => Ok(()),
            _ => Err(InvalidManifest::SchemaVersion),
        }
    }

    /// The type that the document gives itself, or else the only OCI type that has its fields.
    fn media_type(&self) -> Result<(&'static str, Kind), InvalidManifest> {
        let image = self.config.is_some() || self.layers.is_some();
        let index = self.manifests.is_some();
        let (media_type, kind) = match self.media_type.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => known_type(name).ok_or_else(|| InvalidManifest::UnsupportedType(clip(&name)))?,
            None if image => (media_type::OCI_IMAGE_MANIFEST, Kind::Image),
            None if index => (media_type::OCI_IMAGE_INDEX, Kind::Index),
            None => return Err(InvalidManifest::UnknownType),
        };
        let has_fields_of_the_other = match kind {
            Kind::Image => index,
            Kind::Index => image,
        };
        if has_fields_of_the_other { Err(InvalidManifest::Ambiguous) } else { Ok((media_type, kind)) }
    }

    fn into_manifest(self, media_type: &'static str, kind: Kind) -> Result<Manifest, InvalidManifest> {
        let config = self.config.map(Object::into_inner);
        if kind == Kind::Image && config.is_none() {
            return Err(InvalidManifest::ConfigMissing);
        }
        let config_type = config.as_ref().and_then(|config| config.media_type.clone());
        let (manifests, others): (Vec<_>, Vec<_>) = inner(self.manifests).partition(is_manifest);
        let blobs: Vec<_> = config.into_iter().chain(inner(self.layers)).chain(others).collect();
        if blobs.len() + manifests.len() > DESCRIPTORS_MAX {
            return Err(InvalidManifest::TooManyDescriptors);
        }
        Ok(Manifest {
            media_type,
            kind,
            blobs,
            manifests,
            subject: self.subject.map(Object::into_inner),
            artifact_type: self.artifact_type.filter(|name| !name.is_empty()).or(config_type),
            annotations: self.annotations,
        })
    }
}

fn inner(list: Option<Vec<Object<Descriptor>>>) -> impl Iterator<Item = Descriptor> {
    list.into_iter().flatten().map(Object::into_inner)
}

/// Reads a refused text again to learn which field it was: to know that all along would cost every parse half as much
/// again, and stored manifests are parsed when they are pulled.
fn refuse_text(text: &str, error: &serde_json::Error) -> InvalidManifest {
    if !error.is_data() {
        return InvalidManifest::NotJson(clip(error));
    }
    let deserializer = &mut serde_json::Deserializer::from_str(text);
    let refused = serde_path_to_error::deserialize::<_, Object<Document>>(deserializer).err();
    let path = refused.map(|refused| clip(refused.path())).unwrap_or_default();
    InvalidManifest::Field { path, reason: clip(error) }
}

/// Whether an entry of an index is to be found among the manifests; one without a type is.
fn is_manifest(entry: &Descriptor) -> bool {
    entry.media_type.as_deref().is_none_or(|name| known_type(name).is_some())
}

fn known_type(name: &str) -> Option<(&'static str, Kind)> {
    TYPES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
}

fn without_parameters(content_type: &str) -> &str {
    content_type.split_once(';').map_or(content_type, |(name, _)| name).trim()
}

/// As much as fits in a sentence: what a stranger sent comes back in messages, and may be as long as the manifest.
fn clip(text: &impl ToString) -> String {
    const SHOWN: usize = 160;
    let mut text = text.to_string();
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
