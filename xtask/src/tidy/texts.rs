//! What the texts for people may promise, and what no kept text may hold.

use clap::CommandFactory;

use super::hold;
use crate::root;
use crate::tree::{File, files};

/// The two commands that a newcomer types.
const FIRST_COMMANDS: [&str; 2] = ["cargo run --release -- serve", "cargo test --workspace"];

/// Folders of the machine on which something was written, in pieces so that this file does not hold them.
fn machine_folders() -> [String; 2] {
    ["work", "root"].map(|folder| format!("/{folder}/"))
}

fn forbidden(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for folder in machine_folders().iter().filter(|folder| line.contains(*folder)) {
            complaints.push(format!("{}:{number}: {folder} is a folder of one machine: leave it out", file.path));
        }
    }
    complaints
}

/// The targets of a Markdown text's links into the tree.
fn links(file: &File) -> impl Iterator<Item = &str> {
    let targets = file.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

fn dead_links(file: &File) -> Vec<String> {
    let folder = root::path(&file.path).with_file_name("");
    let dead = links(file).filter(|target| !folder.join(target).exists());
    dead.map(|target| format!("{}: the link to {target} leads nowhere", file.path)).collect()
}

fn unknown_chores(file: &File) -> Vec<String> {
    let known = crate::Arguments::command();
    let word = |rest: &str| {
        rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-').next().map(String::from)
    };
    let named = file.text.split("cargo xtask ").skip(1).filter_map(word).filter(|chore| !chore.starts_with('-'));
    let unknown = named.filter(|chore| known.find_subcommand(chore).is_none());
    unknown.map(|chore| format!("{}: there is no `cargo xtask {chore}`", file.path)).collect()
}

fn markdown() -> Vec<File> {
    files().into_iter().filter(|file| file.path.ends_with(".md")).collect()
}

#[test]
fn no_text_names_a_folder_of_one_machine() {
    hold(&files().iter().flat_map(forbidden).collect::<Vec<_>>());
}

#[test]
fn links_lead_somewhere() {
    hold(&markdown().iter().flat_map(dead_links).collect::<Vec<_>>());
}

#[test]
fn the_chores_that_texts_name_exist() {
    hold(&markdown().iter().flat_map(unknown_chores).collect::<Vec<_>>());
}

#[test]
fn the_readme_begins_with_the_two_commands() {
    let readme = std::fs::read_to_string(root::path("README.md")).unwrap_or_default();
    let missing = FIRST_COMMANDS.iter().filter(|command| !readme.lines().any(|line| line.trim() == **command));
    hold(&missing.map(|command| format!("README.md: show `{command}` on a line of its own")).collect::<Vec<_>>());
}

#[test]
fn the_licence_stands() {
    let licence = std::fs::read_to_string(root::path("LICENSE")).unwrap_or_default();
    assert!(
        licence.contains("Apache License") && licence.contains("Version 2.0"),
        "LICENSE: put the Apache-2.0 text back"
    );
}

#[test]
fn a_broken_text_is_seen() {
    let text =
        format!("[a](missing.md) [b](https://example.com/x) [c](#here) {}x cargo xtask dance", machine_folders()[0]);
    let file = File { path: "docs/A.md".into(), text };
    assert_eq!(dead_links(&file).len(), 1);
    assert_eq!(forbidden(&file).len(), 1);
    assert_eq!(unknown_chores(&file).len(), 1);
}
