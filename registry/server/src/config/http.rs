//! The settings of the HTTP API: the section `http`, and what other sections say about requests.

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Uri;

use crate::http::{Address, Limits, Settings};

use super::ConfigError;
use super::node::{Node, Value};
use super::section::Section;

const DEFAULT_ADDRESS: &str = "127.0.0.1:5000";
const DEFAULT_DRAIN: Duration = Duration::from_secs(60);
const DEFAULT_CONNECTIONS: usize = 4096;
/// More than any machine has descriptors for.
const CONNECTIONS_MAX: usize = 1 << 24;
const DEFAULT_PAGE_MAX: usize = 1000;

/// The secret signs the upload state that distribution hands to its clients; here the store itself holds that state.
pub(super) fn ignored(http: &mut Section) -> Vec<&'static str> {
    http.ignore(&[("secret", "http.secret"), ("debug", "http.debug"), ("http2", "http.http2"), ("h2c", "http.h2c")])
}

pub(super) fn address(http: &mut Section) -> Result<Address, ConfigError> {
    let addr = http.text("addr")?;
    let unix = http.value("net", "tcp or unix", |net| match net {
        "tcp" => Some(false),
        "unix" => Some(true),
        _ => None,
    })?;
    match (unix, addr) {
        (Some(true), Some(path)) => Ok(Address::Unix(path.into())),
        (Some(true), None) => Err(ConfigError::new("http.net is unix, so http.addr should be a path".to_owned())),
        (_, addr) => Ok(Address::Tcp(addr.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()))),
    }
}

pub(super) fn limits(http: &mut Section) -> Result<Limits, ConfigError> {
    let connections =
        http.value("maxconnections", &format!("a whole number from 1 to {CONNECTIONS_MAX}"), connections)?;
    let connections = connections.unwrap_or(DEFAULT_CONNECTIONS);
    let drain = http.duration("draintimeout")?.unwrap_or(DEFAULT_DRAIN);
    Ok(Limits { connections, drain })
}

/// What is left of the sections `http` and `storage.maintenance`, with what `storage` and `root` say about requests.
pub(super) fn settings(
    mut http: Section,
    storage: &mut Section,
    mut maintenance: Section,
    root: &mut Section,
) -> Result<Settings, ConfigError> {
    let host = http.value("host", "a URL such as https://registry.example", public_url)?;
    let relative = http.flag("relativeurls")?.unwrap_or(false);
    let settings = Settings {
        read_only: maintenance.section("readonly")?.only_flag("enabled", false)?,
        deletes: storage.section("delete")?.only_flag("enabled", true)?,
        redirects: !storage.section("redirect")?.only_flag("disable", false)?,
        public_url: host.filter(|_| !relative),
        headers: headers(http.section("headers")?)?,
        catalog_page_max: root.section("catalog")?.only_count("maxentries", DEFAULT_PAGE_MAX)?,
        tags_page_max: root.section("tags")?.only_count("maxtags", DEFAULT_PAGE_MAX)?,
    };
    maintenance.finish()?;
    http.finish()?;
    Ok(settings)
}

fn connections(text: &str) -> Option<usize> {
    text.parse().ok().filter(|count| (1..=CONNECTIONS_MAX).contains(count))
}

/// A URL of scheme and host only, without its last slash.
fn public_url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let named = matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    (named && bare).then(|| text.trim_end_matches('/').to_owned())
}

/// Each header has one text or a list of texts.
fn headers(mut section: Section) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    for (name, node) in section.rest() {
        let wrong = || ConfigError::new(format!("http.headers.{name} ({}) is not a header", node.origin));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        if is_the_registrys(&key) {
            let place = &node.origin;
            return Err(ConfigError::new(format!(
                "http.headers.{name} ({place}) is a header that the registry sets itself"
            )));
        }
        for text in texts(&node).ok_or_else(wrong)? {
            headers.append(key.clone(), HeaderValue::from_str(text).map_err(|_| wrong())?);
        }
    }
    Ok(headers)
}

/// Headers that say what one response is: the same for all would be wrong, or break the connection.
fn is_the_registrys(name: &HeaderName) -> bool {
    const OWN: [HeaderName; 13] = [
        header::ACCEPT_RANGES,
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::DATE,
        header::ETAG,
        header::LOCATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let name_of_a_registry = ["docker-", "oci-"].iter().any(|prefix| name.as_str().starts_with(prefix));
    name_of_a_registry || OWN.contains(name)
}

/// The texts of a list, or a text alone.
fn texts(node: &Node) -> Option<Vec<&str>> {
    match &node.value {
        Value::Text(text) => Some(vec![text.as_str()]),
        Value::List(items) => items.iter().map(texts).collect::<Option<Vec<_>>>().map(|texts| texts.concat()),
        Value::Nothing | Value::Map(_) => None,
    }
}
