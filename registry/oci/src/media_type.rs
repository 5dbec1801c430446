//! The media types that a registry must know by name; every other one is the business of clients.

pub const OCI_IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_IMAGE_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const OCI_IMAGE_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_IMAGE_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// What a layer's type begins with when its licence forbids pushing it to a registry.
pub const OCI_NONDISTRIBUTABLE_LAYER_PREFIX: &str = "application/vnd.oci.image.layer.nondistributable.";
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";

pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_IMAGE_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// What Docker calls a layer that its own publisher serves.
pub const DOCKER_FOREIGN_LAYER_PREFIX: &str = "application/vnd.docker.image.rootfs.foreign.";

/// The first schema, whose manifests carry their signatures inside.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
pub const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

pub const OCTET_STREAM: &str = "application/octet-stream";
pub const JSON: &str = "application/json";
