//! [`RepositoryName`]: what stands between `/v2/` and the resource in a URL.
//!
//! The grammar lets no component begin with `_` or `.`, so a name can neither leave the place that a store keeps for it
//! nor meet the store's own folders, all of which begin with `_`.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The most bytes a name has, so that it fits in one field wherever clients and stores keep it.
const LENGTH_MAX: usize = 255;

/// Components of lower-case letters and digits, joined inside by `.`, `_`, `__` or dashes, and separated by `/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Arc<str>);

/// Why a text is not a [`RepositoryName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRepositoryName {
    #[error("a repository name is at most {LENGTH_MAX} characters long")]
    TooLong,
    #[error(
        "a repository name has lower-case letters and digits, joined by '.', '_', '__' or '-', in components separated by '/'"
    )]
    Malformed,
}

impl RepositoryName {
    /// Checks length and grammar.
    pub fn parse(text: &str) -> Result<RepositoryName, InvalidRepositoryName> {
        if text.len() > LENGTH_MAX {
            return Err(InvalidRepositoryName::TooLong);
        }
        if !text.split('/').all(is_component) {
            return Err(InvalidRepositoryName::Malformed);
        }
        Ok(RepositoryName(Arc::from(text)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_component(text: &str) -> bool {
    text.starts_with(is_alphanumeric)
        && text.ends_with(is_alphanumeric)
        && text.split(is_alphanumeric).all(is_separator)
}

fn is_alphanumeric(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// What may stand between two letters or digits of a component: also nothing.
fn is_separator(text: &str) -> bool {
    matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-')
}

impl Serialize for RepositoryName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    #[test]
    fn length_is_bounded() {
        assert!(RepositoryName::parse(&"a".repeat(255)).is_ok());
        assert_eq!(RepositoryName::parse(&"a".repeat(256)), Err(InvalidRepositoryName::TooLong));
    }

    #[test]
    fn accepted_and_refused() {
        for name in ["a", "0", "library/ubuntu", "a__b", "a---b", "a.b_c/d-e", "a/b/c/d/e/f"] {
            assert_eq!(RepositoryName::parse(name).unwrap().as_str(), name);
        }
        for name in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "a_",
            "_a",
            "a___b",
            "a..b",
            "a._b",
            "a-.b",
            "-a",
            "a-",
            ".",
            "..",
            "a/../b",
            "a/_uploads",
            "_catalog",
            "a b",
            "a\n",
            "é",
            "a:b",
            "a/b\0",
        ] {
            assert_eq!(RepositoryName::parse(name), Err(InvalidRepositoryName::Malformed), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_expression_of_the_specification(text in "[a-c0-1._/A-]{0,14}|\\PC{0,8}") {
            let component = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*";
            let expression = Regex::new(&format!("\\A{component}(/{component})*\\z")).unwrap();
            prop_assert_eq!(RepositoryName::parse(&text).is_ok(), expression.is_match(&text));
        }
    }
}
