//! Checks on the tree itself, run by `cargo test`: what no compiler holds, because it is an absence.
//!
//! Each check gathers complaints; a complaint names the place and says what to do.

mod crates;
mod modules;
mod texts;
mod words;

/// Fails with every complaint at once, so that one run shows all the work.
fn hold(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
