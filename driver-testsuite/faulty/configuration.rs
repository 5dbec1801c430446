//! [`Settings`]: the parameters of Configure, read and checked.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;

use storagedriver_proto::limits::GRANULARITY_MAX;
use storagedriver_proto::v1alpha1::Capabilities;
use storagedriver_proto::v1alpha1::capabilities::Durability;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::failure::{Failure, Result, failure};
use crate::fault::Fault;

/// One configured store.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where the store is kept; without it the store ends with the process.
    pub(crate) root: Option<PathBuf>,
    /// NO_SPACE beyond.
    pub(crate) max_bytes: u64,
    /// Signs the URLs of redirects.
    pub(crate) secret: String,
    pub(crate) capabilities: Capabilities,
    /// Whether a new store has some content: a store that takes no changes gets none otherwise.
    pub(crate) is_filled: bool,
}

impl Settings {
    pub(crate) fn read(parameters: &HashMap<String, String>) -> Result<Self> {
        let mut left = Parameters(parameters.clone());
        let root = left.take("rootdirectory", None)?;
        let usual = if root.is_some() { "process" } else { "volatile" };
        let capabilities = Capabilities {
            durability: durability(&left.text("durability").unwrap_or_else(|| usual.to_owned()))?.into(),
            granularity: granularity(left.take("granularity", 1)?)?,
            shared: left.take("shared", false)?,
            read_only: left.take("read_only", false)?,
            if_absent: left.take("if_absent", true)?,
            redirect: left.take("redirect", false)?,
            commit_copies: left.take("commit_copies", false)?,
            descriptors: left.take("descriptors", false)?,
            write_descriptors: left.take("write_descriptors", false)?,
        };
        let is_filled = left.take("filled", false)?;
        let max_bytes = left.take("max_bytes", u64::MAX)?;
        let settings = Settings { root, max_bytes, secret: left.secret()?, capabilities, is_filled };
        left.nothing_left()?;
        Ok(settings)
    }

    pub(crate) fn is_power_safe(&self) -> bool {
        self.capabilities.durability() == Durability::Power
    }
}

struct Parameters(HashMap<String, String>);

impl Parameters {
    fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn take<T: Parameter>(&mut self, name: &str, default: T) -> Result<T> {
        match self.text(name) {
            Some(text) => match T::parse(&text) {
                None if Fault::UnreadableIgnored.on() => Ok(default),
                value => value.ok_or_else(|| unreadable(name)),
            },
            None => Ok(default),
        }
    }

    fn secret(&mut self) -> Result<String> {
        let text = self.text("secret").unwrap_or_default();
        match text.strip_prefix("file:") {
            Some(_) if Fault::SecretFileNotRead.on() => Ok(text),
            Some(_) if Fault::SecretFileRefused.on() => Err(unreadable("secret")),
            Some(file) => std::fs::read_to_string(file).map_err(|_| unreadable("secret")),
            None => Ok(text),
        }
    }

    fn nothing_left(&self) -> Result<()> {
        let Some(name) = self.0.keys().min() else { return Ok(()) };
        if Fault::UnknownIgnored.on() {
            return Ok(());
        }
        if Fault::SecretShown.on() {
            return Err(failure(Reason::ConfigInvalid, format!("parameters are unknown: {:?}", self.0)));
        }
        // The caller chose the name: it may be as long as a message.
        let name: String = name.chars().take(if Fault::UnknownNotNamed.on() { 0 } else { 100 }).collect();
        Err(failure(Reason::ConfigInvalid, format!("the parameter {name} is unknown")))
    }
}

trait Parameter: Sized {
    fn parse(text: &str) -> Option<Self>;
}

impl Parameter for bool {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Parameter for u64 {
    fn parse(text: &str) -> Option<Self> {
        u64::from_str(text).ok()
    }
}

impl Parameter for Option<PathBuf> {
    fn parse(text: &str) -> Option<Self> {
        Some(Some(PathBuf::from(text))).filter(|_| text.starts_with('/'))
    }
}

fn durability(text: &str) -> Result<Durability> {
    match text {
        "volatile" => Ok(Durability::Volatile),
        "process" => Ok(Durability::Process),
        "power" => Ok(Durability::Power),
        _ => Err(unreadable("durability")),
    }
}

fn granularity(bytes: u64) -> Result<u64> {
    if (1..=GRANULARITY_MAX).contains(&bytes) { Ok(bytes) } else { Err(unreadable("granularity")) }
}

fn unreadable(name: &str) -> Failure {
    failure(Reason::ConfigInvalid, format!("the parameter {name} cannot be read"))
}
