//! The path layout: the one file that makes or takes apart a path of the store.
//!
//! ```text
//! /docker/registry/v2
//! ├── blobs
//! │   └── <alg>/<hex[0..2]>/<hex>/data        content, once for the whole store, and only after its digest was verified;
//! │                                           two letters of the digest keep a folder from growing without end
//! └── repositories
//!     └── <name>                              verbatim: its slashes make folders, and since no component of a name
//!         │                                   begins with "_", what does so is ours
//!         ├── _layers
//!         │   └── <alg>/<hex>/link            a blob (layer or config) that can be seen in this repository
//!         ├── _manifests
//!         │   ├── revisions
//!         │   │   └── <alg>/<hex>
//!         │   │       ├── link                a manifest of this repository
//!         │   │       └── signatures
//!         │   │           └── <alg>/<hex>/link    a signature of that signed manifest, itself a blob
//!         │   └── tags
//!         │       └── <tag>
//!         │           ├── current/link        what the tag names now: the one file that is ever replaced
//!         │           ├── index
//!         │           │   └── <alg>/<hex>/link    what it has ever named
//!         │           └── leaving/<uuid>      ours: a current/link that a deletion took, until it is known to name what is deleted
//!         ├── _referrers                      ours: distribution does not look here, and it can be rebuilt from the revisions
//!         │   └── <alg>/<hex of subject>
//!         │       └── <alg>/<hex of referrer>/link    a manifest whose subject is that digest
//!         └── _uploads
//!             └── <uuid>
//!                 ├── startedat               RFC 3339, UTC; the upload exists exactly while this does
//!                 ├── data                    the staging path of the upload's write session
//!                 ├── hashstates
//!                 │   └── <alg>/<offset>      the hash of the first <offset> bytes: an upload continues at the largest
//!                 ├── tails                   ours: only over drivers that cannot persist every offset
//!                 │   ├── staging             where a tail is written
//!                 │   └── <offset>            the bytes just before <offset> that the session does not hold yet
//!                 ├── turns                   ours: only where another registry may write to the store
//!                 │   └── appending|closing|purging/<uuid>    empty; who adds to this upload, makes it a blob or deletes it
//!                 └── unverified              ours: all of the upload, while it is read again to learn its digest
//! ```
//!
//! A file named `link` holds a digest as text, `<alg>:<hex>`, and nothing else.
//! All of it but the lines marked "ours" is the layout of CNCF distribution, so either can serve the other's store.
//! This module must not know what is stored: it turns names into paths and paths into names.

use std::fmt::Display;

use oci::{Algorithm, Digest, RepositoryName, Tag, UploadId};
use storagedriver_proto::Path;
use uuid::Uuid;

const ROOT: &str = "/docker/registry/v2";
const DATA: &str = "data";
const STARTED_AT: &str = "startedat";
const HASH_STATES: &str = "hashstates";
const TAILS: &str = "tails";
const TURNS: &str = "turns";
const UPLOADS: &str = "_uploads";
const MANIFESTS: &str = "_manifests";

/// What the names begin with that a listing of [`repositories`] has for the repository listed, and for none below it.
pub(crate) const RESERVED: &str = "_";

/// The names inside a path are checked already, and none of their forms can make a bad path: a property test holds it.
fn path(text: impl Display) -> Path {
    let text = text.to_string();
    Path::parse(&text).unwrap_or_else(|why| unreachable!("{text:?} is not a path: {why}"))
}

fn flat(digest: &Digest) -> String {
    format!("{}/{}", digest.algorithm().as_str(), digest.hex())
}

fn in_repository(name: &RepositoryName, rest: impl Display) -> Path {
    path(format_args!("{ROOT}/repositories/{name}/{rest}"))
}

// ---------------------------------------------------------------- blobs

/// The content with this digest.
pub(crate) fn blob(digest: &Digest) -> Path {
    let hex = digest.hex();
    path(format_args!("{ROOT}/blobs/{}/{}/{hex}/{DATA}", digest.algorithm().as_str(), &hex[..2]))
}

/// Says that a blob can be seen in a repository.
pub(crate) fn layer_link(name: &RepositoryName, digest: &Digest) -> Path {
    in_repository(name, format_args!("_layers/{}/link", flat(digest)))
}

// ---------------------------------------------------------------- manifests

/// Holds the manifests of a repository; a repository is one in whose folder this is.
pub(crate) fn manifests(name: &RepositoryName) -> Path {
    in_repository(name, MANIFESTS)
}

/// Holds a folder for each algorithm, and in it one for each revision.
pub(crate) fn revisions(name: &RepositoryName) -> Path {
    in_repository(name, format_args!("{MANIFESTS}/revisions"))
}

/// All that belongs to one revision.
pub(crate) fn revision(name: &RepositoryName, digest: &Digest) -> Path {
    in_repository(name, format_args!("{MANIFESTS}/revisions/{}", flat(digest)))
}

pub(crate) fn revision_link(name: &RepositoryName, digest: &Digest) -> Path {
    in_repository(name, format_args!("{MANIFESTS}/revisions/{}/link", flat(digest)))
}

/// Holds a folder for each tag.
pub(crate) fn tags(name: &RepositoryName) -> Path {
    in_repository(name, format_args!("{MANIFESTS}/tags"))
}

/// All that belongs to one tag.
pub(crate) fn tag(name: &RepositoryName, tag: &Tag) -> Path {
    in_repository(name, format_args!("{MANIFESTS}/tags/{tag}"))
}

pub(crate) fn tag_current(name: &RepositoryName, tag: &Tag) -> Path {
    in_repository(name, format_args!("{MANIFESTS}/tags/{tag}/current/link"))
}

/// Holds a folder for each algorithm of what the tag has ever named.
pub(crate) fn tag_index(name: &RepositoryName, tag: &Tag) -> Path {
    in_repository(name, format_args!("{MANIFESTS}/tags/{tag}/index"))
}

/// Where one deletion keeps what the tag named.
pub(crate) fn tag_leaving(name: &RepositoryName, tag: &Tag, deletion: &Uuid) -> Path {
    in_repository(name, format_args!("{MANIFESTS}/tags/{tag}/leaving/{deletion}"))
}

pub(crate) fn tag_index_link(name: &RepositoryName, tag: &Tag, revision: &Digest) -> Path {
    in_repository(name, format_args!("{MANIFESTS}/tags/{tag}/index/{}/link", flat(revision)))
}

/// Holds all referrers of one subject.
pub(crate) fn referrers(name: &RepositoryName, subject: &Digest) -> Path {
    in_repository(name, format_args!("_referrers/{}", flat(subject)))
}

pub(crate) fn referrer_link(name: &RepositoryName, subject: &Digest, referrer: &Digest) -> Path {
    in_repository(name, format_args!("_referrers/{}/{}/link", flat(subject), flat(referrer)))
}

// ---------------------------------------------------------------- uploads

/// Holds a folder for each upload.
pub(crate) fn uploads(name: &RepositoryName) -> Path {
    in_repository(name, UPLOADS)
}

/// All that belongs to one upload; deleting it ends the upload.
pub(crate) fn upload(name: &RepositoryName, id: &UploadId) -> Path {
    in_repository(name, format_args!("{UPLOADS}/{id}"))
}

/// The staging path of the upload's write session.
pub(crate) fn upload_data(name: &RepositoryName, id: &UploadId) -> Path {
    in_repository(name, format_args!("{UPLOADS}/{id}/{DATA}"))
}

pub(crate) fn upload_started_at(name: &RepositoryName, id: &UploadId) -> Path {
    in_repository(name, format_args!("{UPLOADS}/{id}/{STARTED_AT}"))
}

pub(crate) fn upload_hash_state(name: &RepositoryName, id: &UploadId, algorithm: Algorithm, offset: u64) -> Path {
    in_repository(name, format_args!("{UPLOADS}/{id}/{HASH_STATES}/{}/{offset}", algorithm.as_str()))
}

pub(crate) fn upload_tail(name: &RepositoryName, id: &UploadId, offset: u64) -> Path {
    in_repository(name, format_args!("{UPLOADS}/{id}/{TAILS}/{offset}"))
}

/// The staging path of the write session that makes a tail.
pub(crate) fn upload_tail_staging(name: &RepositoryName, id: &UploadId) -> Path {
    in_repository(name, format_args!("{UPLOADS}/{id}/{TAILS}/staging"))
}

pub(crate) fn upload_turn(name: &RepositoryName, id: &UploadId, kind: TurnKind, turn: &Uuid) -> Path {
    in_repository(name, format_args!("{UPLOADS}/{id}/{TURNS}/{}/{turn}", kind.as_str()))
}

pub(crate) fn upload_unverified(name: &RepositoryName, id: &UploadId) -> Path {
    in_repository(name, format_args!("{UPLOADS}/{id}/unverified"))
}

/// What a path in the folder of an upload says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploadFact {
    Started,
    HashState(Algorithm, u64),
    Tail(u64),
    Turn(TurnKind, Uuid),
}

/// What is being done with an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnKind {
    Appending,
    Closing,
    Purging,
}

impl TurnKind {
    fn as_str(self) -> &'static str {
        match self {
            TurnKind::Appending => "appending",
            TurnKind::Closing => "closing",
            TurnKind::Purging => "purging",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [TurnKind::Appending, TurnKind::Closing, TurnKind::Purging].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The fact that `path` below the folder of an upload stands for; `None` for what says nothing.
pub(crate) fn upload_fact(folder: &Path, path: &Path) -> Option<UploadFact> {
    let rest = path.as_str().strip_prefix(folder.as_str())?.strip_prefix('/')?;
    match *rest.split('/').collect::<Vec<_>>() {
        [STARTED_AT] => Some(UploadFact::Started),
        [HASH_STATES, algorithm, offset] => {
            Some(UploadFact::HashState(Algorithm::parse(algorithm)?, parse_offset(offset)?))
        }
        [TAILS, offset] => Some(UploadFact::Tail(parse_offset(offset)?)),
        [TURNS, kind, turn] => Some(UploadFact::Turn(TurnKind::parse(kind)?, Uuid::try_parse(turn).ok()?)),
        _ => None,
    }
}

/// Decimal and without a sign or leading zeros, so that making the path again gives the same path.
fn parse_offset(text: &str) -> Option<u64> {
    text.parse().ok().filter(|offset: &u64| offset.to_string() == text)
}

// ---------------------------------------------------------------- names in listings

/// Where the tree of repositories begins, or continues below one of them.
pub(crate) fn repositories(below: Option<&RepositoryName>) -> Path {
    match below {
        None => path(format_args!("{ROOT}/repositories")),
        Some(name) => path(format_args!("{ROOT}/repositories/{name}")),
    }
}

/// The repository, or beginning of the name of some, that a listing of [`repositories`] calls `child`; `None` for what
/// belongs to `below` itself.
pub(crate) fn repository_child(below: Option<&RepositoryName>, child: &str) -> Option<RepositoryName> {
    let name = match below {
        Some(above) => RepositoryName::parse(&format!("{above}/{child}")),
        None => RepositoryName::parse(child),
    };
    name.ok()
}

/// The digest whose link lies at `path` below `folder`, as in a folder of revisions or referrers.
pub(crate) fn linked_digest(folder: &Path, path: &Path) -> Option<Digest> {
    let rest = path.as_str().strip_prefix(folder.as_str())?.strip_prefix('/')?;
    match *rest.split('/').collect::<Vec<_>>() {
        [algorithm, hex, "link"] => Digest::parse(&format!("{algorithm}:{hex}")).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(Algorithm::Sha256, text.as_bytes())
    }

    #[test]
    fn every_path_is_where_distribution_looks() {
        let (name, blob_a, blob_b) = (RepositoryName::parse("library/os").unwrap(), digest("a"), digest("b"));
        let (v1, id) = (Tag::parse("v1").unwrap(), UploadId::new());
        let (a, b) = (flat(&blob_a), flat(&blob_b));
        let rows = [
            (blob(&blob_a), format!("blobs/sha256/{}/{}/data", &blob_a.hex()[..2], blob_a.hex())),
            (layer_link(&name, &blob_a), format!("repositories/library/os/_layers/{a}/link")),
            (manifests(&name), "repositories/library/os/_manifests".into()),
            (revisions(&name), "repositories/library/os/_manifests/revisions".into()),
            (revision(&name, &blob_a), format!("repositories/library/os/_manifests/revisions/{a}")),
            (revision_link(&name, &blob_a), format!("repositories/library/os/_manifests/revisions/{a}/link")),
            (tags(&name), "repositories/library/os/_manifests/tags".into()),
            (tag(&name, &v1), "repositories/library/os/_manifests/tags/v1".into()),
            (tag_current(&name, &v1), "repositories/library/os/_manifests/tags/v1/current/link".into()),
            (tag_index(&name, &v1), "repositories/library/os/_manifests/tags/v1/index".into()),
            (
                tag_leaving(&name, &v1, &Uuid::nil()),
                format!("repositories/library/os/_manifests/tags/v1/leaving/{}", Uuid::nil()),
            ),
            (tag_index_link(&name, &v1, &blob_a), format!("repositories/library/os/_manifests/tags/v1/index/{a}/link")),
            (referrers(&name, &blob_a), format!("repositories/library/os/_referrers/{a}")),
            (referrer_link(&name, &blob_a, &blob_b), format!("repositories/library/os/_referrers/{a}/{b}/link")),
            (uploads(&name), "repositories/library/os/_uploads".into()),
            (upload(&name, &id), format!("repositories/library/os/_uploads/{id}")),
            (upload_data(&name, &id), format!("repositories/library/os/_uploads/{id}/data")),
            (upload_started_at(&name, &id), format!("repositories/library/os/_uploads/{id}/startedat")),
            (
                upload_hash_state(&name, &id, Algorithm::Sha512, 7),
                format!("repositories/library/os/_uploads/{id}/hashstates/sha512/7"),
            ),
            (upload_tail(&name, &id, 7), format!("repositories/library/os/_uploads/{id}/tails/7")),
            (upload_tail_staging(&name, &id), format!("repositories/library/os/_uploads/{id}/tails/staging")),
            (
                upload_turn(&name, &id, TurnKind::Appending, &Uuid::nil()),
                format!("repositories/library/os/_uploads/{id}/turns/appending/{}", Uuid::nil()),
            ),
            (upload_unverified(&name, &id), format!("repositories/library/os/_uploads/{id}/unverified")),
            (repositories(None), "repositories".into()),
            (repositories(Some(&name)), "repositories/library/os".into()),
        ];
        for (made, expected) in rows {
            assert_eq!(made.as_str(), format!("/docker/registry/v2/{expected}"));
        }
    }

    #[test]
    fn upload_facts_are_read_back_and_nothing_else_is() {
        let (name, id) = (RepositoryName::parse("a").unwrap(), UploadId::new());
        let folder = upload(&name, &id);
        let rows = [
            ("startedat", Some(UploadFact::Started)),
            ("hashstates/sha256/0", Some(UploadFact::HashState(Algorithm::Sha256, 0))),
            ("hashstates/sha512/33554432", Some(UploadFact::HashState(Algorithm::Sha512, 33_554_432))),
            ("hashstates/md5/1", None),
            ("hashstates/sha256/01", None),
            ("hashstates/sha256/1/2", None),
            ("tails/9", Some(UploadFact::Tail(9))),
            ("tails/staging", None),
            (
                "turns/closing/00000000-0000-0000-0000-000000000000",
                Some(UploadFact::Turn(TurnKind::Closing, Uuid::nil())),
            ),
            ("turns/else/00000000-0000-0000-0000-000000000000", None),
            ("data", None),
        ];
        for (rest, fact) in rows {
            assert_eq!(upload_fact(&folder, &folder.join(rest).unwrap()), fact, "{rest}");
        }
        assert_eq!(upload_fact(&folder, &Path::parse("/elsewhere/startedat").unwrap()), None);
    }

    #[test]
    fn listings_of_repositories_are_understood() {
        let name = |text| RepositoryName::parse(text).unwrap();
        let below = name("a/b");
        let rows = [
            (None, "a", Some(name("a"))),
            (None, "_uploads", None),
            (None, "Not.A_Name", None),
            (Some(&below), "c", Some(name("a/b/c"))),
            (Some(&below), "_manifests", None),
            (Some(&below), "_layers", None),
        ];
        for (below, child, expected) in rows {
            assert_eq!(repository_child(below, child), expected, "{child}");
        }
    }

    proptest! {
        #[test]
        fn names_always_make_paths(name in "[a-z0-9]{1,9}(([._]|__|-{1,3})[a-z0-9]{1,9}){0,4}(/[a-z0-9]{1,99}){0,2}", tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", offset: u64) {
            let (name, tag) = (RepositoryName::parse(&name).unwrap(), Tag::parse(&tag).unwrap());
            let (id, long) = (UploadId::new(), Digest::of(Algorithm::Sha512, tag.as_str().as_bytes()));
            let folder = referrers(&name, &long);
            prop_assert_eq!(linked_digest(&folder, &referrer_link(&name, &long, &long)), Some(long.clone()));
            prop_assert_eq!(linked_digest(&folder, &tag_index_link(&name, &tag, &long)), None);
            let state = upload_hash_state(&name, &id, Algorithm::Sha512, offset);
            prop_assert_eq!(upload_fact(&upload(&name, &id), &state), Some(UploadFact::HashState(Algorithm::Sha512, offset)));
        }
    }

    #[test]
    fn the_longest_names_still_make_paths() {
        let (name, tag) = (RepositoryName::parse(&"n".repeat(255)).unwrap(), Tag::parse(&"t".repeat(128)).unwrap());
        let long = Digest::of(Algorithm::Sha512, b"");
        for path in [tag_index_link(&name, &tag, &long), referrer_link(&name, &long, &long)] {
            assert!(path.as_str().len() <= storagedriver_proto::limits::PATH_MAX);
        }
    }
}
