//! [`SharedKey`]: the key of an account, with which requests and URLs are signed.
//!
//! The service computes the same text from what it received, and refuses what differs in a single byte.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const DATE: &str = "x-ms-date";
const AUTHORIZATION: &str = "authorization";

/// Headers whose values stand in the text, in this order; the length stands after the second.
const SIGNED: [&str; 10] = [
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// The key of an account.
pub(crate) struct SharedKey {
    account: String,
    key: Vec<u8>,
}

impl SharedKey {
    pub(crate) fn new(account: &str, key: Vec<u8>) -> Self {
        SharedKey { account: account.to_owned(), key }
    }

    /// The signature of a text, in base64.
    pub(crate) fn sign(&self, text: &str) -> azure_core::Result<String> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.key);
        let mut mac =
            mac.map_err(|problem| azure_core::Error::new(azure_core::error::ErrorKind::Credential, problem))?;
        mac.update(text.as_bytes());
        Ok(STANDARD.encode(mac.finalize().into_bytes()))
    }

    fn string_to_sign(&self, request: &Request) -> String {
        let headers: BTreeMap<&str, &str> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut lines = vec![request.method().as_ref().to_owned()];
        lines.extend(SIGNED.iter().map(|name| headers.get(name).copied().unwrap_or_default().to_owned()));
        lines.insert(3, length(request));
        for (name, value) in headers.iter().filter(|(name, _)| name.starts_with("x-ms-")) {
            lines.push(format!("{name}:{}", value.trim()));
        }
        lines.push(self.resource(request));
        lines.join("\n")
    }

    /// The path, and what is asked of it.
    fn resource(&self, request: &Request) -> String {
        let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in request.url().query_pairs() {
            asked.entry(name.to_lowercase()).or_default().push(value.into_owned());
        }
        let mut resource = format!("/{}{}", self.account, request.url().path());
        for (name, mut values) in asked {
            values.sort_unstable();
            resource.push_str(&format!("\n{name}:{}", values.join(",")));
        }
        resource
    }
}

/// None at all stands for no bytes.
fn length(request: &Request) -> String {
    let bytes = request.body().len().unwrap_or_default();
    if bytes == 0 { String::new() } else { bytes.to_string() }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKey").field("account", &self.account).finish_non_exhaustive()
    }
}

#[async_trait]
impl Policy for SharedKey {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        request.insert_header(DATE, httpdate::fmt_http_date(SystemTime::now()));
        let signature = self.sign(&self.string_to_sign(request))?;
        request.insert_header(AUTHORIZATION, format!("SharedKey {}:{signature}", self.account));
        match next {
            [policy, rest @ ..] => policy.send(ctx, request, rest).await,
            [] => Err(azure_core::Error::with_message(azure_core::error::ErrorKind::Other, "nothing sends requests")),
        }
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::{Method, Url};

    use super::*;

    fn key() -> SharedKey {
        SharedKey::new("me", b"key".to_vec())
    }

    fn request(method: Method, url: &str, headers: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::new(Url::parse(url).unwrap(), method);
        for (name, value) in headers {
            request.insert_header(*name, *value);
        }
        request
    }

    #[test]
    fn a_request_becomes_the_text_that_the_service_documents() {
        let headers = [("x-ms-version", "2015-02-21"), ("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT")];
        let url = "https://me.blob.core.windows.net/container?restype=container&comp=metadata&timeout=20";
        let wanted = "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
            /me/container\ncomp:metadata\nrestype:container\ntimeout:20";
        assert_eq!(key().string_to_sign(&request(Method::Get, url, &headers)), wanted);
    }

    #[test]
    fn length_type_conditions_and_range_stand_where_they_belong() {
        let headers = [
            ("content-type", "t/t"),
            ("if-match", "\"m\""),
            ("if-none-match", "*"),
            ("range", "bytes=1-2"),
            ("x-ms-b", " b "),
            ("x-ms-a", "a"),
        ];
        let mut request = request(Method::Put, "http://h:1/me/c/a%2Fb?blockid=YQ%3D%3D&Comp=block", &headers);
        request.set_body("12345");
        let wanted = "PUT\n\n\n5\n\nt/t\n\n\n\"m\"\n*\n\nbytes=1-2\nx-ms-a:a\nx-ms-b:b\n\
            /me/me/c/a%2Fb\nblockid:YQ==\ncomp:block";
        assert_eq!(key().string_to_sign(&request), wanted);
    }

    #[test]
    fn signatures_are_those_of_hmac_sha256() {
        // The vector of RFC 4231, test case 2, in base64.
        let key = SharedKey::new("me", b"Jefe".to_vec());
        let signed = key.sign("what do ya want for nothing?").unwrap();
        assert_eq!(signed, "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
    }
}
