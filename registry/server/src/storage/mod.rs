//! What a registry keeps, and what it means: blobs, revisions, tags, manifests, uploads.
//!
//! It must not know HTTP nor gRPC, and only `layout` makes or takes apart a path.

mod layout;

/// The store of one registry.
#[derive(Clone)]
pub(crate) struct Registry;
