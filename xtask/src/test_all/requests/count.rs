//! How often each thing was asked for between two marks: requests for names that nobody has, which show in every log.

use std::collections::BTreeMap;

/// Begins the name of a mark.
pub(super) const MARK: &str = "mark-";

/// What was asked for after each mark, and how often.
pub(super) type Counts = BTreeMap<usize, BTreeMap<String, usize>>;

/// Counts what `name` finds in the lines of a log.
pub(super) fn count<'a>(lines: impl Iterator<Item = &'a str>, name: impl Fn(&'a str) -> Option<&'a str>) -> Counts {
    let (mut counts, mut last) = (Counts::new(), None);
    for line in lines {
        let Some(asked) = name(line) else { continue };
        match (mark(line), last) {
            (Some(number), _) => last = Some(number),
            (None, Some(last)) => *counts.entry(last).or_default().entry(asked.to_owned()).or_default() += 1,
            (None, None) => {}
        }
    }
    counts
}

fn mark(line: &str) -> Option<usize> {
    let rest = line.split_once(MARK)?.1;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// The name of a call in a line of a recording.
pub(super) fn call(line: &str) -> Option<&str> {
    line.strip_prefix("{\"begin\":[")?.split_once("{\"")?.1.split('"').next()
}

/// The name of a request in a line of the server's log. How the driver looks whether the server is there is left out: it
/// asks for that on its own.
pub(super) fn request(line: &str) -> Option<&str> {
    let is_look = line.contains("&max-keys=1&prefix= ");
    line.split_once(" s3_")?.1.split(' ').next().filter(|_| !is_look)
}

/// `3: Get ×2, Put`, and a dash for nothing.
pub(super) fn shown(counts: Option<&BTreeMap<String, usize>>) -> String {
    let Some(counts) = counts else { return "-".to_owned() };
    let names = counts.iter().map(|(name, times)| if *times == 1 { name.clone() } else { format!("{name} ×{times}") });
    format!("{}: {}", counts.values().sum::<usize>(), names.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_between_marks() {
        let log = r#"{"begin":[1,{"Get":{"path":"/before"}}]}
{"begin":[2,{"Get":{"path":"/r/mark-0/x"}}]}
{"begin":[3,{"Put":{"path":"/a"}}]}
{"end":[3]}
{"begin":[4,{"Put":{"path":"/b"}}]}
{"begin":[5,{"Commit":{"path":"/b"}}]}
{"begin":[6,{"Get":{"path":"/r/mark-11/x"}}]}"#;
        let counts = count(log.lines(), call);
        assert_eq!(shown(counts.get(&0)), "3: Commit, Put ×2");
        assert_eq!(shown(counts.get(&11)), "-");
    }

    #[test]
    fn requests_are_named_as_the_server_names_them() {
        let line =
            |rest: &str| format!("test-all registry [28/November/2026:15:29:28 +0000] 127.0.0.1 test-all K s3_{rest}");
        assert_eq!(request(&line("GetObject a/b /registry/a/b?x-id=GetObject 200")), Some("GetObject"));
        assert_eq!(request(&line("ListObjectsV2 - /registry/?list-type=2&max-keys=1&prefix= 200")), None);
        assert_eq!(request("log starts"), None);
    }
}
