//! [`UploadId`]: the name of one upload in progress.

use std::fmt;

use uuid::Uuid;

/// A UUID, written as 36 lower-case characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(Uuid);

/// The text is not an [`UploadId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an upload is named by a UUID of 32 lower-case hexadecimal digits in five groups")]
pub struct InvalidUploadId;

impl UploadId {
    /// A name that no other upload has, later in order than every older one.
    #[expect(clippy::new_without_default, reason = "two new ones are never equal, which Default would suggest")]
    pub fn new() -> UploadId {
        UploadId(Uuid::now_v7())
    }

    /// Takes a UUID of any version, as other registries on the same store choose theirs, in exactly one spelling.
    pub fn parse(text: &str) -> Result<UploadId, InvalidUploadId> {
        let id = Uuid::try_parse(text).map(UploadId).map_err(|_| InvalidUploadId)?;
        if id.to_string() == text { Ok(id) } else { Err(InvalidUploadId) }
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn new_ones_differ_and_parse() {
        let (first, second) = (UploadId::new(), UploadId::new());
        assert!(first < second);
        assert_eq!(UploadId::parse(&first.to_string()), Ok(first));
    }

    #[test]
    fn one_spelling_only() {
        let text = "c5550ab9-9b5c-4d6c-8e5a-0123456789ab";
        assert_eq!(UploadId::parse(text).unwrap().to_string(), text);
        for other in
            ["", &text.to_uppercase(), &text.replace('-', ""), &format!("{{{text}}}"), &format!("urn:uuid:{text}")]
        {
            assert_eq!(UploadId::parse(other), Err(InvalidUploadId), "{other}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_displayed_unchanged(text in "[0-9a-fA-F]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\\PC{0,40}") {
            if let Ok(id) = UploadId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
