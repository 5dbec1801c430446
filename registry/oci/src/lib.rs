//! The words of the OCI distribution and image specifications and of Docker's registry API, as types.
//!
//! Everything here is true while nothing is running: no input or output, no clock but the one in a new [`UploadId`], no
//! HTTP framework, no storage. Each parser is a pure function that takes what a stranger sent, bounds it, and either
//! gives a type whose fields need no second look or says in a sentence what is wrong.

mod bounded;
mod descriptor;
mod digest;
mod error;
pub mod etag;
mod go_state;
mod hasher;
mod manifest;
pub mod media_type;
mod name;
mod object;
pub mod page;
pub mod range;
mod reference;
pub mod referrers;
mod upload;

pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, InvalidDigest};
pub use error::{ErrorCode, error_body};
pub use go_state::InvalidHashState;
pub use hasher::Hasher;
pub use manifest::{InvalidManifest, Kind, Manifest};
pub use name::{InvalidRepositoryName, RepositoryName};
pub use reference::{InvalidReference, InvalidTag, Reference, Tag};
pub use upload::{InvalidUploadId, UploadId};
