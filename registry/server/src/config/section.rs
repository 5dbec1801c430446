//! [`Section`]: a map that is taken apart key by key, so that what nobody took can be refused with its place and with
//! the key that was probably meant.

use std::time::Duration;

use jiff::SignedDuration;

use super::ConfigError;
use super::node::{Node, Origin, Value};

/// The settings below one key.
pub(super) struct Section {
    path: String,
    entries: Vec<(String, Node)>,
    known: Vec<&'static str>,
}

/// How alike two keys must be for one to be taken for the other, misspelt.
const ALIKE: f64 = 0.8;

impl Section {
    /// The whole configuration.
    pub(super) fn root(node: Node) -> Result<Self, ConfigError> {
        Self::of(String::new(), node)
    }

    fn of(path: String, node: Node) -> Result<Self, ConfigError> {
        let entries = match node.value {
            Value::Map(entries) => entries,
            Value::Nothing => Vec::new(),
            _ if path.is_empty() => return Err(ConfigError::new("the configuration has no settings".to_owned())),
            _ => return Err(ConfigError::new(format!("{path} ({}) has no settings below it", node.origin))),
        };
        Ok(Section { path, entries, known: Vec::new() })
    }

    /// The section below `key`; a missing one is empty.
    pub(super) fn section(&mut self, key: &'static str) -> Result<Section, ConfigError> {
        let node = self.take(key).unwrap_or_else(Node::empty);
        Section::of(self.path_of(key), node)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, ConfigError> {
        self.value(key, "one text", |text| Some(text.to_owned()))
    }

    /// `true` or `false`, and nothing that YAML also takes for them.
    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        self.value(key, "true or false", |text| text.parse().ok())
    }

    pub(super) fn count(&mut self, key: &'static str) -> Result<Option<usize>, ConfigError> {
        self.value(key, "a whole number above 0", |text| text.parse().ok().filter(|count| *count > 0))
    }

    pub(super) fn duration(&mut self, key: &'static str) -> Result<Option<Duration>, ConfigError> {
        self.value(key, "a time such as 168h or 1h30m", parse_duration)
    }

    /// What `read` makes of the text at `key`; `expected` says what would do.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(node) = self.take(key) else { return Ok(None) };
        let value = match &node.value {
            Value::Nothing => return Ok(None),
            Value::Text(text) => read(text),
            Value::List(_) | Value::Map(_) => None,
        };
        let wrong = || ConfigError::new(format!("{} ({}) should be {expected}", self.path_of(key), node.origin));
        value.map(Some).ok_or_else(wrong)
    }

    /// The one flag of a section that has nothing else.
    pub(super) fn only_flag(mut self, key: &'static str, default: bool) -> Result<bool, ConfigError> {
        let flag = self.flag(key)?.unwrap_or(default);
        self.finish()?;
        Ok(flag)
    }

    /// The one number of a section that has nothing else.
    pub(super) fn only_count(mut self, key: &'static str, default: usize) -> Result<usize, ConfigError> {
        let count = self.count(key)?.unwrap_or(default);
        self.finish()?;
        Ok(count)
    }

    /// Takes settings of distribution that have nothing to set here; gives the full names of those that were written.
    pub(super) fn ignore(&mut self, settings: &[(&'static str, &'static str)]) -> Vec<&'static str> {
        settings.iter().filter(|(key, _)| self.take(key).is_some()).map(|(_, name)| *name).collect()
    }

    /// Takes whatever is left.
    pub(super) fn rest(&mut self) -> Vec<(String, Node)> {
        std::mem::take(&mut self.entries)
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        match self.entries.first() {
            None => Ok(()),
            Some((key, node)) => Err(self.unknown(key, &node.origin)),
        }
    }

    /// The complaint about a key that means nothing here.
    fn unknown(&self, key: &str, origin: &Origin) -> ConfigError {
        let remedy = match self.nearest(key) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the settings here are {}", self.known.join(", ")),
        };
        ConfigError::new(format!("{} ({origin}) is not a setting of this registry: {remedy}", self.path_of(key)))
    }

    fn nearest(&self, key: &str) -> Option<String> {
        let key = key.to_ascii_lowercase();
        let likeness = |known: &str| strsim::jaro_winkler(&key, known);
        let near = self.known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        (likeness(near) >= ALIKE).then(|| self.path_of(near))
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let index = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(index).1)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// `168h`, `1h30m`, `1.5s`; a unit is needed and no sign.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    text.parse::<SignedDuration>().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    #[test]
    fn durations_have_a_unit_and_no_sign() {
        let seconds = |text| parse_duration(text).map(|duration| duration.as_secs());
        let rows = [
            ("168h", Some(604_800)),
            ("1h30m", Some(5400)),
            ("90s", Some(90)),
            ("0s", Some(0)),
            ("60", None),
            ("-1s", None),
            ("", None),
            ("soon", None),
        ];
        for (text, expected) in rows {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn what_nobody_took_is_refused_with_what_was_meant() {
        let rows = [
            ("adr: 1", "adr (line 1) is not a setting of this registry: did you mean addr?"),
            ("addr: 1\nxyz: 2", "xyz (line 2) is not a setting of this registry: the settings here are addr, net"),
        ];
        for (text, expected) in rows {
            let mut section = Section::root(yaml::read(text).unwrap()).unwrap();
            section.text("addr").unwrap();
            section.text("net").unwrap();
            assert_eq!(section.finish().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        let mut section = Section::root(yaml::read("a:\n  on: yes\n  many: 0\n  text: [1]").unwrap()).unwrap();
        let mut a = section.section("a").unwrap();
        let problems = [a.flag("on").unwrap_err(), a.count("many").unwrap_err(), a.text("text").unwrap_err()];
        let expected = [
            "a.on (line 2) should be true or false",
            "a.many (line 3) should be a whole number above 0",
            "a.text (line 4) should be one text",
        ];
        assert_eq!(problems.map(|problem| problem.to_string()), expected);
    }
}
