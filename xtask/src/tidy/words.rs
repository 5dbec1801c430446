//! Which word may stand in which folder.

use super::hold;
use crate::tree::{File, rust_files};

/// In the code below `within`, tests and comments left out, the words stand only below one of `only_in`.
struct Rule {
    within: &'static [&'static str],
    words: &'static [&'static str],
    only_in: &'static [&'static str],
    why: &'static str,
}

const SERVER: &str = "registry/server/src";

const RULES: [Rule; 11] = [
    Rule {
        within: &[SERVER],
        words: &["axum", "hyper"],
        only_in: &["registry/server/src/http"],
        why: "only http knows the web framework: move the line there",
    },
    Rule {
        within: &[SERVER],
        words: &["tonic", "tonic_health", "prost", "prost_types"],
        only_in: &["registry/server/src/driver"],
        why: "only driver knows gRPC: give its client a method that says what you need",
    },
    Rule {
        within: &[SERVER],
        words: &["driver_kit", "driver_memory", "driver_filesystem"],
        only_in: &["registry/server/src/embedded.rs"],
        why: "a driver is another process, reached through the protocol alone: only embedded.rs links drivers",
    },
    Rule {
        within: &["registry/server/src/storage"],
        words: &["http", "http_body_util", "httpdate", "hyper_util", "headers", "StatusCode"],
        only_in: &[],
        why: "storage must not know HTTP: take plain types, and let http turn them into an answer",
    },
    Rule {
        within: &["registry/server/src/http"],
        words: &["storagedriver_proto", "driver::", "layout::"],
        only_in: &[],
        why: "http must not know drivers nor paths: ask storage",
    },
    Rule {
        within: &["registry/server/src/driver"],
        words: &["oci", "storage::", "http::", "config::"],
        only_in: &[],
        why: "driver must not know what is stored nor who asks: take paths and plain settings",
    },
    Rule {
        within: &[SERVER],
        words: &["/docker/", "_manifests", "_layers", "_uploads", "_referrers", "hashstates", "startedat"],
        only_in: &["registry/server/src/storage/layout.rs"],
        why: "only storage/layout.rs makes or takes apart a path of the store: give it a function",
    },
    Rule {
        within: &["drivers"],
        words: &["manifest", "manifests", "repository", "repositories", "tag", "tags"],
        only_in: &[],
        why: "a driver stores content at paths and never learns what it means: use the contract's words",
    },
    Rule {
        within: &["drivers"],
        words: &["blob", "blobs"],
        // What Azure calls every object of its own.
        only_in: &["drivers/driver-azure/src"],
        why: "a driver stores content at paths and never learns what it means: use the contract's words",
    },
    Rule {
        within: &["proto", "drivers", "registry", "xtask"],
        words: &["unsafe"],
        only_in: &["drivers/driver-kit/src/descriptor.rs", "xtask/src/tidy"],
        why: "unsafe code stands in the one descriptor module: find a safe way, or put it there with its reason",
    },
    Rule {
        within: &["proto", "drivers", "registry"],
        words: &["println!", "eprintln!", "print!", "eprint!", "dbg!", "todo!", "unimplemented!"],
        only_in: &["registry/server/src/cli.rs", "registry/server/src/start.rs"],
        why: "only the command line speaks to the terminal: log with tracing, and leave nothing for later",
    },
];

fn is_part_of_a_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Whether a line has the word by itself, and not as a piece of a longer one. A word may begin or end with a sign.
fn has(line: &str, word: &str) -> bool {
    let bytes = line.as_bytes();
    line.match_indices(word).any(|(start, _)| {
        let end = start + word.len();
        let begins =
            start == 0 || !is_part_of_a_word(word.as_bytes().first()) || !is_part_of_a_word(bytes.get(start - 1));
        let ends = !is_part_of_a_word(word.as_bytes().last()) || !is_part_of_a_word(bytes.get(end));
        begins && ends
    })
}

impl Rule {
    fn covers(&self, file: &File) -> bool {
        let in_tests = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
        let below = |folders: &[&str]| folders.iter().any(|folder| file.is_under(folder));
        !in_tests && below(self.within) && !below(self.only_in)
    }

    fn complaints(&self, file: &File) -> Vec<String> {
        let complain = |number: usize, word: &str| format!("{}:{number}: `{word}`: {}", file.path, self.why);
        file.code()
            .flat_map(|(number, line)| self.words.iter().map(move |word| (number, line, word)))
            .filter(|(_, line, word)| has(line, word))
            .map(|(number, _, word)| complain(number, word))
            .collect()
    }
}

#[test]
fn words_stand_only_where_they_may() {
    let files = rust_files();
    let complaints: Vec<_> = RULES
        .iter()
        .flat_map(|rule| files.iter().filter(|file| rule.covers(file)).flat_map(|file| rule.complaints(file)))
        .collect();
    hold(&complaints);
}

#[test]
fn a_word_is_found_by_itself_alone() {
    for (line, word, found) in [
        ("use axum::body::Body;", "axum", true),
        ("use hyper_util::rt::TokioIo;", "hyper", false),
        ("let stage = etag(tag_of(x));", "tag", false),
        ("crate::driver::Client", "driver::", true),
        ("let screwdriver::x;", "driver::", false),
        ("\"/docker/registry\"", "/docker/", true),
        ("fn handle_uploads()", "_uploads", false),
        ("\"_uploads\"", "_uploads", true),
        ("eprintln!()", "println!", false),
    ] {
        assert_eq!(has(line, word), found, "{word} in {line}");
    }
}

#[test]
fn a_word_in_the_wrong_folder_is_seen() {
    let file = |path: &str| File { path: path.into(), text: "//! Uses axum.\nuse axum::Router;\n".into() };
    let complaints = |path: &str| -> usize {
        let file = file(path);
        RULES.iter().filter(|rule| rule.covers(&file)).map(|rule| rule.complaints(&file).len()).sum()
    };
    assert_eq!(complaints("registry/server/src/storage/blob.rs"), 1);
    assert_eq!(complaints("registry/server/src/http/blobs.rs"), 0);
    assert_eq!(complaints("registry/server/tests/registry/blobs.rs"), 0);
}
