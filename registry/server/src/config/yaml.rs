//! YAML to [`Node`]: maps, lists and texts. It knows no key.
//!
//! The events of the parser are read here, and not through serde, because a driver's parameter must reach the driver as
//! it was written (`0123`, `no`, `1e3`) and because every complaint names a line.

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StrInput};

use super::ConfigError;
use super::node::{Node, Origin, Value};

/// Reads one document; no document at all is an empty map.
pub(super) fn read(text: &str) -> Result<Node, ConfigError> {
    let options = granit_parser::options! { emit_comments: false };
    let mut reader = Reader { parser: Parser::new_from_str_with_options(text, options) };
    let mut document = None;
    loop {
        let (event, line) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(document.unwrap_or_else(Node::empty)),
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            _ if document.is_some() => {
                return Err(ConfigError::new(format!("line {line} begins a second document: keep one")));
            }
            event => document = Some(reader.node(event, line)?),
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize), ConfigError> {
        let (event, span) = self
            .parser
            .next()
            .unwrap_or(Ok((Event::StreamEnd, Default::default())))
            .map_err(|problem| invalid(&problem))?;
        Ok((event, span.start.line()))
    }

    /// The value that `event` begins. The parser bounds how deep it can go.
    fn node(&mut self, event: Event<'a>, line: usize) -> Result<Node, ConfigError> {
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if is_null(&text) => Value::Nothing,
            Event::Scalar(text, ..) => Value::Text(text.into_owned()),
            Event::SequenceStart(..) => self.list()?,
            Event::MappingStart(..) => self.map()?,
            _ => return Err(ConfigError::new(format!("line {line} uses an alias: write the value itself"))),
        };
        Ok(Node { origin: Origin::Line(line), value })
    }

    fn list(&mut self) -> Result<Value, ConfigError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, line) => items.push(self.node(event, line)?),
            }
        }
    }

    fn map(&mut self) -> Result<Value, ConfigError> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, line) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(ConfigError::new(format!("the key on line {line} is not a text"))),
            };
            if let Some((_, before)) = entries.iter().find(|(name, _)| *name == key) {
                return Err(ConfigError::new(format!("{key} on line {line} stands already on {}", before.origin)));
            }
            let (event, _) = self.next()?;
            entries.push((key, self.node(event, line)?));
        }
    }
}

fn is_null(plain: &str) -> bool {
    matches!(plain, "" | "~" | "null" | "Null" | "NULL")
}

fn invalid(problem: &ScanError) -> ConfigError {
    ConfigError::new(format!("line {} is not YAML: {}", problem.marker().line(), problem.info()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(node: &Node) -> String {
        match &node.value {
            Value::Nothing => "-".to_owned(),
            Value::Text(text) => format!("'{text}'"),
            Value::List(items) => format!("[{}]", items.iter().map(texts).collect::<Vec<_>>().join(" ")),
            Value::Map(entries) => {
                let texts: Vec<_> = entries.iter().map(|(key, node)| format!("{key}:{}", texts(node))).collect();
                format!("{{{}}}", texts.join(" "))
            }
        }
    }

    #[test]
    fn keeps_every_text_as_it_was_written() {
        let rows = [
            ("", "{}"),
            ("# nothing\n", "{}"),
            ("a: 0123\nb: no\nc: 1e3\nd: 'x # y'\ne: \"\\n\"", "{a:'0123' b:'no' c:'1e3' d:'x # y' e:'\n'}"),
            ("a:\nb: ~\nc: ''\nd: 'null'", "{a:- b:- c:'' d:'null'}"),
            ("a: {b: [1, 0x2]} # why\n", "{a:{b:['1' '0x2']}}"),
            ("a: |\n  two\n  lines\n", "{a:'two\nlines\n'}"),
        ];
        for (text, expected) in rows {
            assert_eq!(texts(&read(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn complains_with_the_line() {
        let rows = [
            ("a: 1\nb: 2\na: 3", "a on line 3 stands already on line 1"),
            ("a: &x 1\nb: *x", "line 2 uses an alias"),
            ("a: 1\n---\nb: 2", "line 3 begins a second document"),
            ("[a]: 1", "the key on line 1 is not a text"),
            ("a: [1", "is not YAML"),
            ("a: 1\n\tb: 2", "is not YAML: while scanning a plain scalar, found a tab"),
        ];
        for (text, expected) in rows {
            let problem = read(text).unwrap_err().to_string();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }
}
