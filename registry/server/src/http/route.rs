//! [`Route`]: which resource a path names, and which methods that resource has.
//!
//! Repository names contain slashes and may contain components such as `blobs` or `tags`, so a path is read from its
//! end. Nothing here looks at a method, a query or a header.

use http::Method;
use oci::{ErrorCode, InvalidRepositoryName, RepositoryName};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::error::HttpError;

/// A resource. References, digests and upload ids are texts still: what is wrong with them depends on the request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Root,
    Livez,
    Readyz,
    Base,
    Catalog,
    Tags(RepositoryName),
    Manifest(RepositoryName, String),
    Referrers(RepositoryName, String),
    Blob(RepositoryName, String),
    Uploads(RepositoryName),
    Upload(RepositoryName, String),
}

const READ: &[Method] = &[Method::GET, Method::HEAD];
const READ_DELETE: &[Method] = &[Method::GET, Method::HEAD, Method::DELETE];
const READ_PUT_DELETE: &[Method] = &[Method::GET, Method::HEAD, Method::PUT, Method::DELETE];
const POST: &[Method] = &[Method::POST];
const UPLOAD: &[Method] = &[Method::GET, Method::HEAD, Method::PATCH, Method::PUT, Method::DELETE];

impl Route {
    /// Reads the path of a request as it was sent, percent-encoding included.
    pub(super) fn parse(path: &str) -> Result<Self, HttpError> {
        match path {
            "/" => Ok(Route::Root),
            "/livez" => Ok(Route::Livez),
            "/readyz" => Ok(Route::Readyz),
            "/v2" | "/v2/" => Ok(Route::Base),
            _ => Self::below_base(path.strip_prefix("/v2/").ok_or_else(HttpError::no_such_route)?),
        }
    }

    fn below_base(path: &str) -> Result<Self, HttpError> {
        let segments: Vec<String> = path.split('/').map(decode).collect::<Result<_, _>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["_catalog"] => Ok(Route::Catalog),
            [name @ .., "tags", "list"] => Ok(Route::Tags(repository(name)?)),
            [name @ .., "manifests", reference] => Ok(Route::Manifest(repository(name)?, (*reference).to_owned())),
            [name @ .., "referrers", digest] => Ok(Route::Referrers(repository(name)?, (*digest).to_owned())),
            [name @ .., "blobs", "uploads", ""] => Ok(Route::Uploads(repository(name)?)),
            [name @ .., "blobs", "uploads", id] => Ok(Route::Upload(repository(name)?, (*id).to_owned())),
            [name @ .., "blobs", digest] => Ok(Route::Blob(repository(name)?, (*digest).to_owned())),
            _ => Err(HttpError::no_such_route()),
        }
    }

    /// The methods of this resource.
    pub(super) fn methods(&self) -> &'static [Method] {
        match self {
            Route::Root | Route::Livez | Route::Readyz | Route::Base | Route::Catalog => READ,
            Route::Tags(_) | Route::Referrers(..) => READ,
            Route::Manifest(..) => READ_PUT_DELETE,
            Route::Blob(..) => READ_DELETE,
            Route::Uploads(_) => POST,
            Route::Upload(..) => UPLOAD,
        }
    }

    /// One word for the log.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Route::Root => "root",
            Route::Livez => "livez",
            Route::Readyz => "readyz",
            Route::Base => "base",
            Route::Catalog => "catalog",
            Route::Tags(_) => "tags",
            Route::Manifest(..) => "manifest",
            Route::Referrers(..) => "referrers",
            Route::Blob(..) => "blob",
            Route::Uploads(_) => "uploads",
            Route::Upload(..) => "upload",
        }
    }

    /// The repository, and what is named in it.
    pub(super) fn subject(&self) -> (Option<&RepositoryName>, Option<&str>) {
        match self {
            Route::Root | Route::Livez | Route::Readyz | Route::Base | Route::Catalog => (None, None),
            Route::Tags(name) | Route::Uploads(name) => (Some(name), None),
            Route::Manifest(name, what) | Route::Referrers(name, what) => (Some(name), Some(what)),
            Route::Blob(name, what) | Route::Upload(name, what) => (Some(name), Some(what)),
        }
    }
}

/// Decodes one segment. An encoded slash is refused: a proxy in front would read the path differently from us, and
/// what it forbids below one name could be reached through another spelling.
fn decode(segment: &str) -> Result<String, HttpError> {
    let text = percent_decode_str(segment).decode_utf8().map_err(|_| HttpError::no_such_route())?;
    if text.contains('/') { Err(HttpError::no_such_route()) } else { Ok(text.into_owned()) }
}

fn repository(components: &[&str]) -> Result<RepositoryName, HttpError> {
    let name = components.join("/");
    let invalid = |problem: InvalidRepositoryName| HttpError::new(ErrorCode::NameInvalid, problem.to_string());
    RepositoryName::parse(&name).map_err(|problem| invalid(problem).with_detail(json!({ "name": name })))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route(path: &str) -> Option<Route> {
        Route::parse(path).ok()
    }

    fn name(text: &str) -> RepositoryName {
        RepositoryName::parse(text).unwrap()
    }

    #[test]
    fn reads_a_path_from_its_end() {
        let text = str::to_owned;
        let rows = [
            ("/", Route::Root),
            ("/v2/", Route::Base),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/a/tags/list", Route::Tags(name("a"))),
            ("/v2/a/b/c/manifests/latest", Route::Manifest(name("a/b/c"), text("latest"))),
            ("/v2/a/manifests/manifests/manifests", Route::Manifest(name("a/manifests"), text("manifests"))),
            ("/v2/a/blobs/uploads/", Route::Uploads(name("a"))),
            ("/v2/a/blobs/uploads/x", Route::Upload(name("a"), text("x"))),
            ("/v2/a/blobs/uploads/blobs/uploads/x", Route::Upload(name("a/blobs/uploads"), text("x"))),
            ("/v2/a/blobs/uploads/manifests/x", Route::Manifest(name("a/blobs/uploads"), text("x"))),
            ("/v2/a/blobs/uploads/tags/list", Route::Tags(name("a/blobs/uploads"))),
            ("/v2/tags/list/tags/list", Route::Tags(name("tags/list"))),
            ("/v2/a/blobs/sha256:0", Route::Blob(name("a"), text("sha256:0"))),
            ("/v2/a/blobs/sha256%3A0", Route::Blob(name("a"), text("sha256:0"))),
            ("/v2/a/referrers/sha256:0", Route::Referrers(name("a"), text("sha256:0"))),
        ];
        for (path, expected) in rows {
            assert_eq!(route(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn refuses_what_is_nearly_a_path() {
        let rows = [
            "",
            "/v1/",
            "/v2x",
            "/v2/a",
            "/v2//manifests/x",
            "/v2/manifests/x",
            "/v2/A/manifests/x",
            "/v2/a//tags/list",
            "/v2/a%2Fb/manifests/x",
            "/v2/a/../b/tags/list",
            "/v2/a/%2e%2e/b/tags/list",
            "/v2/a/tags/list/",
            "/v2/a/tags",
            "/v2/%ff/manifests/x",
            "/v2/_catalog/",
            "/livez/",
            "/v2/a/blobs/uploads/x/y",
        ];
        for path in rows {
            assert_eq!(route(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read_back(name in "[a-z0-9]{1,4}(/(blobs|uploads|manifests|tags|list|referrers)){0,4}") {
            let name = RepositoryName::parse(&name).unwrap();
            prop_assert_eq!(route(&format!("/v2/{name}/tags/list")), Some(Route::Tags(name.clone())));
            let manifest = Route::Manifest(name.clone(), "uploads".to_owned());
            prop_assert_eq!(route(&format!("/v2/{name}/manifests/uploads")), Some(manifest));
            prop_assert_eq!(route(&format!("/v2/{name}/blobs/uploads/")), Some(Route::Uploads(name)));
        }

        #[test]
        fn never_panics(path in "/v2/[a-z%/._:0-9-]{0,64}|\\PC{0,64}") {
            let _ = Route::parse(&path);
        }
    }
}
