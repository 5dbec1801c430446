//! [`Reference`]: how a request names a manifest, by [`Tag`] or by digest.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::{Digest, InvalidDigest};

/// The most characters a tag has.
const TAG_LENGTH_MAX: usize = 128;

/// A name that people give to a manifest and may move to another.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

/// Why a text is not a [`Tag`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tag is 1 to {TAG_LENGTH_MAX} letters, digits, '_', '.' and '-', and does not begin with '.' or '-'")]
pub struct InvalidTag;

impl Tag {
    /// Checks length and characters.
    pub fn parse(text: &str) -> Result<Tag, InvalidTag> {
        let well_formed = (1..=TAG_LENGTH_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
            && !text.starts_with(['.', '-']);
        if well_formed { Ok(Tag(Arc::from(text))) } else { Err(InvalidTag) }
    }

    /// A tag that the caller has built from parts that can only make a tag.
    pub(crate) fn of_known_form(text: &str) -> Tag {
        Tag(Arc::from(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A tag or a digest; no text can be both, as only a digest has a colon.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    Tag(Tag),
    Digest(Digest),
}

/// Why a text is not a [`Reference`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    #[error(transparent)]
    Tag(#[from] InvalidTag),
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
}

impl Reference {
    /// A text with a colon is meant as a digest, any other as a tag.
    pub fn parse(text: &str) -> Result<Reference, InvalidReference> {
        if text.contains(':') {
            Ok(Reference::Digest(Digest::parse(text)?))
        } else {
            Ok(Reference::Tag(Tag::parse(text)?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Tag(tag) => tag.fmt(f),
            Reference::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    #[test]
    fn colon_decides() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert!(matches!(Reference::parse(&digest), Ok(Reference::Digest(_))));
        assert!(matches!(Reference::parse("latest"), Ok(Reference::Tag(_))));
        assert_eq!(Reference::parse("sha256:no"), Err(InvalidReference::Digest(InvalidDigest::Malformed)));
        assert_eq!(Reference::parse(".hidden"), Err(InvalidReference::Tag(InvalidTag)));
    }

    #[test]
    fn tag_length_is_bounded() {
        assert!(Tag::parse(&"t".repeat(128)).is_ok());
        assert_eq!(Tag::parse(&"t".repeat(129)), Err(InvalidTag));
    }

    proptest! {
        #[test]
        fn tag_agrees_with_the_expression_of_the_specification(text in "[a-bA-B0-1._ -]{0,6}|\\PC{0,6}|[a._-]{126,130}") {
            let expression = Regex::new("\\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\\z").unwrap();
            prop_assert_eq!(Tag::parse(&text).is_ok(), expression.is_match(&text));
        }

        #[test]
        fn whatever_parses_is_displayed_unchanged(text in "\\PC{0,20}|sha256:[0-9a-f]{64}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(reference.to_string(), text);
            }
        }
    }
}
