//! No header or query leads out of the content or beyond the limits of a page.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::page::{self, PageRequest};
use oci::range::{Ranges, parse_content_range, parse_ranges};
use oci::{Algorithm, Digest, etag};

const PAGE_MAX: u32 = 1000;

fuzz_target!(|input: (&str, u64)| {
    let (text, size) = input;
    if let Ranges::Satisfiable(ranges) = parse_ranges(text, size) {
        assert!(!ranges.is_empty());
        assert!(ranges.iter().all(|range| range.start() <= range.end() && *range.end() < size));
    }
    if let Ok(range) = parse_content_range(text) {
        assert!(range.length() > 0);
    }
    if let Ok(page) = PageRequest::parse(text, PAGE_MAX) {
        assert!(page.n.is_none_or(|n| n <= PAGE_MAX));
    }
    assert!(page::next_link("/v2/", &[(text, text)]).bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
    let digest = Digest::of(Algorithm::Sha256, b"");
    assert!(!etag::lists(text, &digest) || text.trim() == "*" || text.contains(digest.as_str()));
});
