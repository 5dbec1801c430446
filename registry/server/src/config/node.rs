//! [`Node`]: what was written, by whomever, before anybody asks what it means. Texts stay as they were written.

use std::fmt;

/// One value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Nothing,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Where a value was written, for the sentence that complains about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Line(usize),
    Variable(String),
    Option(&'static str),
    /// Not written at all.
    Default,
}

impl Node {
    pub(super) fn text(origin: Origin, text: impl Into<String>) -> Self {
        Node { origin, value: Value::Text(text.into()) }
    }

    pub(super) fn empty() -> Self {
        Node { origin: Origin::Default, value: Value::Map(Vec::new()) }
    }

    /// Puts `leaf` at the place that the words of `path` lead to, in place of what is there. A text or list on the way
    /// gives way to a map.
    pub(super) fn set(&mut self, path: &[&str], leaf: Node) {
        let Some((word, rest)) = path.split_first() else {
            *self = leaf;
            return;
        };
        let mut entries = match std::mem::replace(&mut self.value, Value::Nothing) {
            Value::Map(entries) => entries,
            Value::Nothing | Value::Text(_) | Value::List(_) => Vec::new(),
        };
        match entries.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(word)) {
            Some((_, node)) => node.set(rest, leaf),
            None => {
                let mut node = Node { origin: leaf.origin.clone(), value: Value::Nothing };
                node.set(rest, leaf);
                entries.push(((*word).to_owned(), node));
            }
        }
        self.value = Value::Map(entries);
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line(line) => write!(f, "line {line}"),
            Origin::Variable(name) => write!(f, "the environment variable {name}"),
            Origin::Option(name) => write!(f, "the option {name}"),
            Origin::Default => f.write_str("the default"),
        }
    }
}
