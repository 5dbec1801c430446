//! A report as the document that is kept.

use serde::Deserialize;

use super::{Report, SCHEMA};

/// Why a text is no report that this suite can read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("the report has schema {0}, and this suite reads up to {SCHEMA}: read it with a suite as new as its own")]
    Later(u32),
    #[error("it is no report of the driver conformance suite")]
    Malformed(#[from] serde_json::Error),
}

/// What every version of the document has.
#[derive(Deserialize)]
struct Header {
    schema: u32,
}

impl Report {
    /// The document, to be read by people too.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Reads the document.
    pub fn from_json(text: &str) -> Result<Self, Unreadable> {
        let Header { schema } = serde_json::from_str(text)?;
        if schema > SCHEMA {
            return Err(Unreadable::Later(schema));
        }
        Ok(serde_json::from_str(text)?)
    }
}
