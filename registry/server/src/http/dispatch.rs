//! From a request to the handler that answers it: the route, the gates in front of every handler, and the table.
//!
//! It must not know what a handler does.

use http::header::{HOST, HeaderValue, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{Method, StatusCode, Version};
use oci::{Digest, ErrorCode, InvalidDigest, InvalidReference, InvalidUploadId, Reference, RepositoryName, UploadId};
use serde_json::json;

use super::error::HttpError;
use super::route::Route;
use super::site::Site;
use super::{Answer, Request, blobs, catalog, health, manifests, referrers, tags, uploads};

/// Answers `request`, whose path is `route`.
pub(super) async fn dispatch(site: &Site, route: Route, request: Request) -> Answer {
    is_well_formed(&request)?;
    admit(site, &route, request.method())?;
    match route {
        Route::Root | Route::Livez => Ok(health::alive()),
        Route::Readyz => Ok(health::ready(site)),
        Route::Base => Ok(health::base()),
        Route::Catalog => catalog::list(site, request).await,
        Route::Tags(name) => tags::list(site, name, request).await,
        Route::Referrers(name, subject) => referrers::list(site, name, digest(&subject)?, request).await,
        Route::Manifest(name, reference) => manifest(site, name, &reference, request).await,
        Route::Blob(name, text) => blob(site, name, digest(&text)?, request).await,
        // What writes does much and comes seldom: boxed, it does not make the future of every small read as large.
        Route::Uploads(name) => Box::pin(uploads::post(site, name, request)).await,
        Route::Upload(name, id) => Box::pin(upload(site, name, upload_id(&id)?, request)).await,
    }
}

async fn manifest(site: &Site, name: RepositoryName, reference: &str, request: Request) -> Answer {
    match *request.method() {
        Method::PUT => Box::pin(manifests::put(site, name, given(reference)?, request)).await,
        Method::DELETE => Box::pin(manifests::delete(site, name, given(reference)?)).await,
        _ => manifests::get(site, name, looked_up(reference)?, request).await,
    }
}

async fn blob(site: &Site, name: RepositoryName, digest: Digest, request: Request) -> Answer {
    match *request.method() {
        Method::DELETE => blobs::delete(site, name, digest).await,
        _ => blobs::get(site, name, digest, request).await,
    }
}

async fn upload(site: &Site, name: RepositoryName, id: UploadId, request: Request) -> Answer {
    match *request.method() {
        Method::PATCH => uploads::patch(site, name, id, request).await,
        Method::PUT => uploads::put(site, name, id, request).await,
        Method::DELETE => uploads::cancel(site, name, id).await,
        _ => uploads::status(site, name, id).await,
    }
}

/// Refuses what would be misread: a request that names no host or several (RFC 9112 section 3.2), bytes in a coding that
/// nobody undoes here (section 6.1), and a change on a condition (RFC 9110 section 13), which no handler keeps from being
/// overtaken between the look and the change.
fn is_well_formed(request: &Request) -> Result<(), HttpError> {
    let refused = |status, message: String| Err(HttpError::new(ErrorCode::Unsupported, message).with_status(status));
    let headers = request.headers();
    if !names_one_host(request) {
        return refused(StatusCode::BAD_REQUEST, "the request needs one header Host, with a host in it".to_owned());
    }
    if headers.get_all(TRANSFER_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return refused(StatusCode::NOT_IMPLEMENTED, "no Transfer-Encoding but chunked is understood".to_owned());
    }
    let conditions = [IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE];
    let condition = conditions.into_iter().find(|condition| headers.contains_key(condition));
    match condition.filter(|_| !request.method().is_safe()) {
        None => Ok(()),
        Some(name) => {
            let message = format!("changes on a condition are not supported: leave {name} away");
            refused(StatusCode::BAD_REQUEST, message)
        }
    }
}

fn names_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let is_host = |host: &HeaderValue| host.is_empty() || Authority::try_from(host.as_bytes()).is_ok();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() != Version::HTTP_11,
        (Some(host), None) => is_host(host),
        _ => false,
    }
}

/// Refuses a method that the resource does not have, or that the operator switched off.
fn admit(site: &Site, route: &Route, method: &Method) -> Result<(), HttpError> {
    let known = route.methods().contains(method);
    let problem =
        if known { switched_off(site, route, method) } else { Some("this resource does not have this method") };
    let Some(problem) = problem else { return Ok(()) };
    let remaining = route.methods().iter().filter(|method| switched_off(site, route, method).is_none());
    Err(HttpError::method_not_allowed(problem, remaining))
}

/// Why the operator does not want `method` on this resource.
fn switched_off(site: &Site, route: &Route, method: &Method) -> Option<&'static str> {
    let writes = !matches!(*method, Method::GET | Method::HEAD);
    let deletes_content = *method == Method::DELETE && matches!(route, Route::Manifest(..) | Route::Blob(..));
    if writes && site.settings.read_only {
        return Some("this registry is read-only");
    }
    (deletes_content && !site.settings.deletes).then_some("deleting is switched off in this registry")
}

/// A reference that a client gives or takes away.
fn given(text: &str) -> Result<Reference, HttpError> {
    Reference::parse(text).map_err(|problem| match problem {
        InvalidReference::Digest(problem) => digest_invalid(text, &problem),
        InvalidReference::Tag(problem) => {
            HttpError::new(ErrorCode::TagInvalid, problem.to_string()).with_detail(json!({ "tag": text }))
        }
    })
}

/// A reference to look up. A tag that cannot exist does not exist; a digest that cannot is a mistake worth telling.
fn looked_up(text: &str) -> Result<Reference, HttpError> {
    let unknown = || HttpError::new(ErrorCode::ManifestUnknown, "there is no such tag, nor can there be");
    given(text).map_err(|error| if text.contains(':') { error } else { unknown() })
}

/// A digest in a path or a query.
pub(super) fn digest(text: &str) -> Result<Digest, HttpError> {
    Digest::parse(text).map_err(|problem| digest_invalid(text, &problem))
}

fn digest_invalid(text: &str, problem: &InvalidDigest) -> HttpError {
    HttpError::new(ErrorCode::DigestInvalid, problem.to_string()).with_detail(json!({ "digest": text }))
}

fn upload_id(text: &str) -> Result<UploadId, HttpError> {
    let unknown = |problem: InvalidUploadId| HttpError::new(ErrorCode::BlobUploadUnknown, problem.to_string());
    UploadId::parse(text).map_err(unknown)
}
