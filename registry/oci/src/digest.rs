//! [`Digest`]: the name that content has from its own bytes.
//!
//! Only algorithms that the registry can compute are digests here; any other name that the grammar allows is told apart
//! as unsupported, so that a client learns whether to correct its spelling or its choice.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::Hasher;

/// A hash function that content may be named with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    /// Every supported algorithm, the one for content that nobody named first.
    pub const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

    /// The algorithm of this name; `None` when it is not supported.
    pub fn parse(name: &str) -> Option<Algorithm> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal digits a digest of this algorithm has.
    pub const fn hex_len(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `ALGORITHM:HEX` with a supported algorithm and exactly its number of lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Digest {
    algorithm: Algorithm,
    text: Arc<str>,
}

/// Why a text is not a [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDigest {
    #[error("a digest is 'sha256:' and 64, or 'sha512:' and 128, lower-case hexadecimal digits")]
    Malformed,
    #[error("the digest algorithm '{0}' is not supported: use sha256 or sha512")]
    UnsupportedAlgorithm(String),
}

impl Digest {
    /// Checks the form; whether any content has this digest is another question.
    pub fn parse(text: &str) -> Result<Digest, InvalidDigest> {
        let (name, encoded) = text.split_once(':').ok_or(InvalidDigest::Malformed)?;
        let Some(algorithm) = Algorithm::parse(name) else {
            return Err(refuse_algorithm(name, encoded));
        };
        if encoded.len() != algorithm.hex_len() || !encoded.bytes().all(is_hex_digit) {
            return Err(InvalidDigest::Malformed);
        }
        Ok(Digest { algorithm, text: Arc::from(text) })
    }

    /// The digest of content that is in memory as a whole.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    /// From the raw hash, whose length the algorithm gives.
    pub(crate) fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Digest {
        let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).map(hex_digit);
        let text: String = algorithm.as_str().chars().chain([':']).chain(digits).collect();
        Digest { algorithm, text: Arc::from(text) }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digits after the colon.
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.as_str().len() + 1..]
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// An algorithm the grammar allows is a matter of choice, everything else a matter of spelling.
fn refuse_algorithm(name: &str, encoded: &str) -> InvalidDigest {
    const NAME_MAX: usize = 32;
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let named = name.len() <= NAME_MAX && name.split(['.', '+', '_', '-']).all(word);
    let coded = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-');
    if named && !encoded.is_empty() && encoded.bytes().all(coded) {
        InvalidDigest::UnsupportedAlgorithm(name.to_owned())
    } else {
        InvalidDigest::Malformed
    }
}

fn is_hex_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn hex_digit(nibble: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(nibble)])
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Digest, InvalidDigest> {
        Digest::parse(&text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY_SHA256: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn of_content() {
        assert_eq!(Digest::of(Algorithm::Sha256, b"").as_str(), EMPTY_SHA256);
        let abc = Digest::of(Algorithm::Sha512, b"abc");
        assert_eq!(abc.algorithm(), Algorithm::Sha512);
        assert!(abc.hex().starts_with("ddaf35a193617aba") && abc.hex().ends_with("2a9ac94fa54ca49f"));
    }

    #[test]
    fn refusals_tell_spelling_from_choice() {
        let malformed = [
            String::new(),
            "sha256".to_owned(),
            "sha256:".to_owned(),
            "sha256:abc".to_owned(),
            EMPTY_SHA256.to_uppercase(),
            EMPTY_SHA256.replace('e', "E"),
            EMPTY_SHA256.replace('e', "g"),
            format!("{EMPTY_SHA256}0"),
            EMPTY_SHA256.replace("sha256", "sha512"),
            ":abc".to_owned(),
            "md5:".to_owned(),
            "md5:a/b".to_owned(),
            "../x:abc".to_owned(),
            "a+:abc".to_owned(),
            format!("{}:abc", "a".repeat(33)),
        ];
        for text in malformed {
            assert_eq!(Digest::parse(&text), Err(InvalidDigest::Malformed), "{text}");
        }
        for (text, name) in
            [("md5:d41d8cd9", "md5"), ("sha384:abc", "sha384"), ("multihash+base58:QmRZ", "multihash+base58")]
        {
            assert_eq!(Digest::parse(text), Err(InvalidDigest::UnsupportedAlgorithm(name.to_owned())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn parse_gives_back_what_display_wrote(content: Vec<u8>, sha512: bool) {
            let digest = Digest::of(Algorithm::ALL[usize::from(sha512)], &content);
            prop_assert_eq!(Digest::parse(&digest.to_string()).unwrap(), digest.clone());
            prop_assert_eq!(digest.hex().len(), digest.algorithm().hex_len());
        }

        #[test]
        fn whatever_parses_is_displayed_unchanged(text in "(sha256|sha512|md5)?:?[0-9a-fA-F]{0,130}|\\PC*") {
            if let Ok(digest) = Digest::parse(&text) {
                prop_assert_eq!(digest.as_str(), text);
            }
        }
    }
}
