//! The XML of a listing. The client library asks for listings without a delimiter alone, and reads no prefixes.

use std::time::SystemTime;

use serde::Deserialize;

use crate::container::{CopyState, Object};

/// One page of keys.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Listed {
    pub(crate) objects: Vec<(String, Object)>,
    /// What lies below the next delimiter, with the delimiter.
    pub(crate) prefixes: Vec<String>,
    /// Gives the next page.
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Results {
    #[serde(default)]
    blobs: Items,
    #[serde(default)]
    next_marker: Option<String>,
}

#[derive(Default, Deserialize)]
struct Items {
    #[serde(rename = "$value", default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
enum Item {
    #[serde(rename = "Blob")]
    Object(Entry),
    #[serde(rename = "BlobPrefix")]
    Prefix(Prefix),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Prefix {
    name: Name,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    name: Name,
    properties: Properties,
}

/// May say that it is encoded, which no key of a path is.
#[derive(Deserialize)]
struct Name {
    #[serde(rename = "$text", default)]
    text: String,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "Last-Modified")]
    modified: String,
    #[serde(rename = "Etag")]
    etag: String,
    #[serde(rename = "Content-Length")]
    size: u64,
    #[serde(rename = "CopyStatus", default)]
    copy: Option<String>,
}

/// `None` for what is no listing.
pub(crate) fn read(xml: &[u8]) -> Option<Listed> {
    // Some servers begin with a byte order mark.
    let text = std::str::from_utf8(xml).ok()?.trim_start_matches('\u{feff}');
    let results: Results = quick_xml::de::from_str(text).ok()?;
    let mut listed = Listed { next: results.next_marker.filter(|marker| !marker.is_empty()), ..Listed::default() };
    for item in results.blobs.items {
        match item {
            Item::Object(entry) => listed.objects.push((entry.name.text, entry.properties.object()?)),
            Item::Prefix(prefix) => listed.prefixes.push(prefix.name.text),
        }
    }
    Some(listed)
}

impl Properties {
    fn object(self) -> Option<Object> {
        let modified: SystemTime = httpdate::parse_http_date(&self.modified).ok()?;
        let etag = self.etag.trim_matches('"').to_owned();
        let copy = self.copy.as_deref().map(|status| CopyState::new(status, String::new()));
        Some(Object { size: self.size, modified, etag, copy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ServiceEndpoint="https://me.blob.core.windows.net/" ContainerName="c">
  <Prefix>x/</Prefix><MaxResults>5</MaxResults><Delimiter>/</Delimiter>
  <Blobs>
    <Blob><Name>x/a &amp; b</Name><Properties><Creation-Time>Fri, 02 Jan 2026 03:04:05 GMT</Creation-Time>
      <Last-Modified>Fri, 02 Jan 2026 03:04:05 GMT</Last-Modified><Etag>0x8D</Etag><Content-Length>7</Content-Length>
      <Content-Type>application/octet-stream</Content-Type><Content-MD5 /><BlobType>BlockBlob</BlobType>
      <LeaseStatus>unlocked</LeaseStatus></Properties><OrMetadata /></Blob>
    <BlobPrefix><Name>x/a/</Name></BlobPrefix>
    <Blob><Name>x/a.b</Name><Properties><Last-Modified>Fri, 02 Jan 2026 03:04:05 GMT</Last-Modified>
      <Etag>"0x8E"</Etag><Content-Length>0</Content-Length><BlobType>AppendBlob</BlobType>
      <CopyStatus>pending</CopyStatus></Properties></Blob>
    <BlobPrefix><Name>x/b/</Name></BlobPrefix>
  </Blobs>
  <NextMarker>2!76!MDAw</NextMarker>
</EnumerationResults>"#;

    #[test]
    fn a_page_is_read() {
        let listed = read(format!("\u{feff}{PAGE}").as_bytes()).unwrap();
        assert_eq!(listed.prefixes, ["x/a/", "x/b/"]);
        assert_eq!(listed.next.as_deref(), Some("2!76!MDAw"));
        let seen: Vec<_> =
            listed.objects.iter().map(|(key, object)| (key.as_str(), object.size, &*object.etag)).collect();
        assert_eq!(seen, [("x/a & b", 7, "0x8D"), ("x/a.b", 0, "0x8E")]);
        assert!(listed.objects[0].1.is_whole() && !listed.objects[1].1.is_whole());
        assert_eq!(
            listed.objects[0].1.modified,
            SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_767_323_045)
        );
    }

    #[test]
    fn an_empty_page_has_nothing() {
        for page in ["<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>", "<EnumerationResults/>"] {
            assert_eq!(read(page.as_bytes()), Some(Listed::default()), "{page}");
        }
    }

    #[test]
    fn what_is_no_listing_is_told() {
        for text in
            ["", "<html>", "<EnumerationResults><Blobs><Blob><Name>a</Name></Blob></Blobs></EnumerationResults>"]
        {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }
}
