//! [`Parameters`]: what the operator wrote for this driver, taken apart key by key so that nothing is overlooked.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// The parameters of one Configure call. `Debug` shows keys only: values may be secrets.
pub struct Parameters {
    values: BTreeMap<String, String>,
}

impl Parameters {
    /// The parameters as the operator wrote them.
    pub fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        Parameters { values: values.into_iter().collect() }
    }

    /// Takes the text of `key`.
    pub fn take(&mut self, key: &str) -> Option<String> {
        self.values.remove(key)
    }

    /// Takes `key` and reads it as a `T`: a number, `true` or `false`.
    pub fn take_parsed<T: FromStr>(&mut self, key: &str) -> Result<Option<T>>
    where
        T::Err: fmt::Display,
    {
        let Some(text) = self.take(key) else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|problem| invalid(key, &format!("cannot be read: {problem}")))
    }

    /// Takes the text of `key`, if there is any.
    pub fn take_text(&mut self, key: &str) -> Option<String> {
        self.take(key).filter(|text| !text.is_empty())
    }

    /// Takes `key` as `true` or `false`, which it is where nobody says.
    pub fn take_flag(&mut self, key: &str) -> Result<bool> {
        Ok(self.take_parsed(key)?.unwrap_or(false))
    }

    /// Takes `key`, without which the driver cannot work.
    pub fn take_required(&mut self, key: &str) -> Result<String> {
        self.take_text(key).ok_or_else(|| invalid(key, "is missing"))
    }

    /// Takes a secret: the text itself or, written as `file:/path`, the content of that file without its last newline.
    pub fn take_secret(&mut self, key: &str) -> Result<Option<String>> {
        let Some(text) = self.take(key) else { return Ok(None) };
        let Some(file) = text.strip_prefix("file:") else { return Ok(Some(text)) };
        match std::fs::read_to_string(file) {
            Ok(secret) => Ok(Some(secret.trim_end_matches(['\r', '\n']).to_owned())),
            Err(problem) => Err(invalid(key, "names a file that cannot be read").with_source(problem)),
        }
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(self) -> Result<()> {
        let left: Vec<&str> = self.values.keys().map(String::as_str).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ConfigInvalid, format!("this driver knows no parameter named {}", left.join(", "))))
    }
}

/// The error for a parameter that is wrong.
pub fn invalid(key: &str, problem: &str) -> Error {
    Error::new(ErrorKind::ConfigInvalid, format!("the parameter {key} {problem}"))
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.keys()).finish()
    }
}
