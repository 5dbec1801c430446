//! The sections `validation`, what may be pushed, and `cache`, how much of the store is remembered.

use crate::storage::{ManifestRules, Settings};

use super::ConfigError;
use super::section::Section;

/// Every manifest that is pushed or read is in memory as a whole.
const MANIFEST_BYTES_MAX: usize = 64 << 20;

const MEMORY_BYTES_MAX: u64 = 16 << 20;

pub(super) fn settings(mut validation: Section, mut cache: Section) -> Result<Settings, ConfigError> {
    let bytes = |text: &str| text.parse().ok();
    let memory_bytes_max = cache.value("maxbytes", "a number of bytes", bytes)?.unwrap_or(MEMORY_BYTES_MAX);
    cache.finish()?;
    let disabled = validation.flag("disabled")?.unwrap_or(false);
    let manifests = manifest_rules(validation.section("manifests")?, disabled)?;
    let mut blobs = validation.section("blobs")?;
    let blob_bytes_max = blobs.value("maxbytes", "a number of bytes", |text| text.parse().ok())?;
    blobs.finish()?;
    validation.finish()?;
    Ok(Settings { blob_bytes_max, memory_bytes_max, manifests })
}

fn manifest_rules(mut manifests: Section, disabled: bool) -> Result<ManifestRules, ConfigError> {
    let usual = ManifestRules::default();
    let bytes_max = manifests.value("maxbytes", "a number of bytes from 1 to 67108864", bytes)?;
    let sparse = sparse_indexes(manifests.section("indexes")?)?;
    manifests.finish()?;
    Ok(ManifestRules {
        bytes_max: bytes_max.unwrap_or(usual.bytes_max),
        allow_sparse_indexes: disabled || sparse.unwrap_or(usual.allow_sparse_indexes),
        allow_missing_blobs: disabled || usual.allow_missing_blobs,
    })
}

fn bytes(text: &str) -> Option<usize> {
    text.parse().ok().filter(|bytes| (1..=MANIFEST_BYTES_MAX).contains(bytes))
}

/// Of which platforms an index must have the image in the repository.
fn sparse_indexes(mut indexes: Section) -> Result<Option<bool>, ConfigError> {
    let sparse = indexes.value("platforms", "all or none", |platforms| match platforms {
        "all" => Some(false),
        "none" => Some(true),
        _ => None,
    })?;
    indexes.finish()?;
    Ok(sparse)
}
