//! The tree as text: which files there are, and which of their lines are code.
//!
//! It must not know any rule.

use std::path::Path;
use std::process::Command;

use crate::root;

/// A text file that is kept, or is about to be.
pub(crate) struct File {
    /// Relative to the root, with `/` between folders.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_under(&self, folder: &str) -> bool {
        Path::new(&self.path).starts_with(folder)
    }

    /// The lines of a Rust file, numbered from 1, before its module of tests.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        (1..).zip(self.text[..end].lines())
    }

    /// What the compiler reads of those lines.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().map(|(number, line)| (number, without_comment(line))).filter(|(_, code)| !code.is_empty())
    }
}

/// rustfmt puts a space before a comment that follows code, which a URL in a literal does not have.
fn without_comment(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with("//") { "" } else { line.split(" // ").next().unwrap_or(line) }
}

/// Every text file that Git keeps, or would after `git add`. Files that are not UTF-8 are left out.
pub(crate) fn files() -> Vec<File> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root::path(""))
        .output()
        .expect("the checks on the tree ask git for its files: install git");
    assert!(listed.status.success(), "the checks on the tree need a clone, not an exported folder");
    let names = String::from_utf8(listed.stdout).expect("the names of the files are UTF-8");
    names.split_terminator('\0').filter_map(read).collect()
}

fn read(path: &str) -> Option<File> {
    let text = std::fs::read_to_string(root::path(path)).ok()?;
    Some(File { path: path.to_owned(), text })
}

/// The kept Rust files that people write.
pub(crate) fn rust_files() -> Vec<File> {
    files().into_iter().filter(|file| file.is_rust() && !file.path.contains("/generated/")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_stands_outside_comments_and_tests() {
        let text = "//! Head.\nlet a = 1; // one\n\n    // none\nlet u = \"http://b\";\n#[cfg(test)]\nmod tests {\nlet b = 2;\n}\n";
        let file = File { path: "a.rs".into(), text: text.into() };
        assert_eq!(file.code().collect::<Vec<_>>(), [(2, "let a = 1;"), (5, "let u = \"http://b\";")]);
    }

    #[test]
    fn a_folder_is_no_prefix_of_a_longer_name() {
        let file = File { path: "drivers/driver-kit/src/lib.rs".into(), text: String::new() };
        assert!(file.is_under("drivers/driver-kit") && !file.is_under("drivers/driver-k"));
    }
}
