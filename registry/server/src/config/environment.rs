//! Settings from the environment: `REGISTRY_HTTP_ADDR` is `http.addr`, and wins over the file.
//!
//! A value is a text, never YAML, since a secret may hold any character; an empty one is as if nothing were written.
//! A key with an underscore in it cannot be named so.

use super::node::{Node, Origin, Value};

const PREFIX: &str = "REGISTRY_";

/// Names the file itself.
pub(super) const FILE: &str = "REGISTRY_CONFIGURATION_PATH";

/// Kubernetes gives these to every container beside a service named `registry`. They were never meant as settings.
const SERVICE_LINKS: [&str; 2] = ["REGISTRY_PORT", "REGISTRY_SERVICE_"];

/// Puts the variables that are settings into `tree`.
pub(super) fn apply(tree: &mut Node, variables: impl IntoIterator<Item = (String, String)>) {
    let mut settings: Vec<(String, String)> = variables.into_iter().filter(|(name, _)| is_setting(name)).collect();
    settings.sort();
    for (name, value) in settings {
        let words = name[PREFIX.len()..].to_ascii_lowercase();
        let words: Vec<&str> = words.split('_').collect();
        let value = if value.is_empty() { Value::Nothing } else { Value::Text(value) };
        tree.set(&words, Node { origin: Origin::Variable(name), value });
    }
}

fn is_setting(name: &str) -> bool {
    name.len() > PREFIX.len()
        && name.starts_with(PREFIX)
        && name != FILE
        && !SERVICE_LINKS.iter().any(|link| name.starts_with(link))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn applied(file: &str, variables: &[(&str, &str)]) -> Node {
        let mut tree = yaml::read(file).unwrap();
        apply(&mut tree, variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        tree
    }

    #[test]
    fn a_variable_replaces_or_makes_one_place() {
        let file = "storage:\n  filesystem:\n    RootDirectory: /old\n    other: 1\n";
        let variables = [("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/new"), ("REGISTRY_LOG_LEVEL", "debug")];
        let expected = "storage:\n  filesystem:\n    RootDirectory: /new\n    other: 1\nlog: {level: debug}";
        assert_eq!(
            format!("{:?}", bare(applied(file, &variables))),
            format!("{:?}", bare(yaml::read(expected).unwrap()))
        );
    }

    #[test]
    fn what_is_no_setting_is_left_alone() {
        let variables = [
            ("REGISTRY_CONFIGURATION_PATH", "x"),
            ("REGISTRY_PORT", "tcp://10.0.0.1:5000"),
            ("REGISTRY_PORT_5000_TCP_ADDR", "10.0.0.1"),
            ("REGISTRY_SERVICE_HOST", "10.0.0.1"),
            ("REGISTRY_", "x"),
            ("HOME", "/"),
        ];
        assert_eq!(applied("", &variables), Node::empty());
    }

    /// The same tree without origins.
    fn bare(node: Node) -> Node {
        let value = match node.value {
            Value::Map(entries) => Value::Map(entries.into_iter().map(|(key, node)| (key, bare(node))).collect()),
            Value::List(items) => Value::List(items.into_iter().map(bare).collect()),
            value => value,
        };
        Node { origin: Origin::Default, value }
    }
}
