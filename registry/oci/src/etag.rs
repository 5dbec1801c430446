//! Entity tags: what a conditional request says it has already.
//!
//! The registry's tags are digests, so one names the same bytes wherever it is seen.

use crate::Digest;

/// The entity tag of content with this digest.
pub fn of(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether an `If-None-Match` lists this content, compared weakly as RFC 9110 section 13.1.2 asks.
///
/// `*` lists everything. A digest that a client sends without its quotes is taken for what it means.
pub fn lists(if_none_match: &str, digest: &Digest) -> bool {
    if_none_match.trim() == "*" || Tags(if_none_match).any(|tag| tag.opaque == digest.as_str())
}

/// Whether an `If-Match` lists this content, compared strongly as RFC 9110 section 13.1.1 asks.
pub fn matches(if_match: &str, digest: &Digest) -> bool {
    if_match.trim() == "*" || Tags(if_match).any(|tag| !tag.is_weak && tag.opaque == digest.as_str())
}

/// Whether an `If-Range` names this content, compared strongly: then its parts may be joined to what the client has.
pub fn permits_range(if_range: &str, digest: &Digest) -> bool {
    if_range.trim() == of(digest)
}

struct Tag<'a> {
    opaque: &'a str,
    is_weak: bool,
}

/// The tags in a list; what is not a tag is passed over up to the next comma.
struct Tags<'a>(&'a str);

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        let list = self.0.trim_start_matches([' ', '\t', ',']);
        if list.is_empty() {
            return None;
        }
        let weak = list.strip_prefix("W/");
        let tag = weak.unwrap_or(list);
        let quoted = tag.strip_prefix('"').and_then(|opaque| opaque.split_once('"'));
        let (opaque, rest) = quoted.or_else(|| tag.split_once(',')).unwrap_or((tag, ""));
        self.0 = rest;
        Some(Tag { opaque: opaque.trim(), is_weak: weak.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Algorithm;

    #[test]
    fn lists_of_tags() {
        let digest = Digest::of(Algorithm::Sha256, b"");
        let other = Digest::of(Algorithm::Sha256, b"other");
        let rows = [
            (of(&digest), true),
            (format!("W/{}", of(&digest)), true),
            (digest.to_string(), true),
            ("*".to_owned(), true),
            (" * ".to_owned(), true),
            (format!("\"a,b\", {} , W/\"c\"", of(&digest)), true),
            (format!("{other},{digest}"), true),
            (format!("{},{}", of(&other), of(&digest)), true),
            (of(&other), false),
            (format!("\"x, {digest}, y\""), false),
            (format!("\"{digest}"), false),
            ("\"*\"".to_owned(), false),
            (String::new(), false),
            (" , ,".to_owned(), false),
            ("W/".to_owned(), false),
        ];
        for (header, expected) in rows {
            assert_eq!(lists(&header, &digest), expected, "{header}");
        }
    }

    #[test]
    fn a_weak_tag_matches_nothing() {
        let digest = Digest::of(Algorithm::Sha256, b"");
        let rows = [
            (of(&digest), true),
            ("*".to_owned(), true),
            (format!("\"other\", {}", of(&digest)), true),
            (format!("W/{}", of(&digest)), false),
            ("\"other\"".to_owned(), false),
            (String::new(), false),
        ];
        for (header, expected) in rows {
            assert_eq!(matches(&header, &digest), expected, "{header}");
        }
    }

    #[test]
    fn only_the_strong_tag_permits_a_range() {
        let digest = Digest::of(Algorithm::Sha512, b"");
        assert!(permits_range(&of(&digest), &digest));
        for other in [format!("W/{}", of(&digest)), "*".to_owned(), "Wed, 21 Oct 2026 07:28:00 GMT".to_owned()] {
            assert!(!permits_range(&other, &digest), "{other}");
        }
    }

    proptest! {
        #[test]
        fn found_among_any_other_tags(before in "[!#-~]{0,20}", after in "\\PC{0,20}") {
            let digest = Digest::of(Algorithm::Sha256, b"");
            let listed = format!("\"{before}\",{},{after}", of(&digest));
            prop_assert!(lists(&listed, &digest));
        }

        #[test]
        fn never_found_where_it_is_not(header in "[\"W/, *a]{0,20}|\\PC{0,30}") {
            let digest = Digest::of(Algorithm::Sha256, b"");
            prop_assert_eq!(lists(&header, &digest), header.trim() == "*");
        }
    }
}
