//! What every module has: a head that says what it is for, and a size that a reader can keep in mind.

use super::hold;
use crate::tree::{File, rust_files};

const LINES_MAX: usize = 500;

fn complaint(file: &File) -> Option<String> {
    if !file.text.starts_with("//!") {
        return Some(format!("{}: begin with `//!`: what the module is for, and what it must not know", file.path));
    }
    let lines = file.lines().count();
    (lines > LINES_MAX).then(|| {
        format!("{}: {lines} lines without its tests, {LINES_MAX} at most: find the second thing in it", file.path)
    })
}

#[test]
fn every_module_has_a_head_and_a_bounded_size() {
    hold(&rust_files().iter().filter_map(complaint).collect::<Vec<_>>());
}

#[test]
fn a_module_without_a_head_or_too_long_is_seen() {
    let file = |text: String| File { path: "a.rs".into(), text };
    assert!(complaint(&file("use std::io;\n".into())).is_some());
    assert!(complaint(&file(format!("//! A.\n{}", "a\n".repeat(LINES_MAX)))).is_some());
    assert!(complaint(&file(format!("//! A.\n#[cfg(test)]\nmod tests {{\n{}}}", "a\n".repeat(LINES_MAX)))).is_none());
}
