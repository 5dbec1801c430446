//! What was checked and how it went.

use std::time::Instant;

use crate::Outcome;

#[derive(Default)]
pub(super) struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// Runs one check. What it gives back says in a few words what was seen.
    pub(super) fn check(&mut self, name: &str, check: impl FnOnce() -> Outcome<String>) {
        let begin = Instant::now();
        let outcome = check();
        let seconds = begin.elapsed().as_secs_f32();
        match outcome {
            Ok(seen) => {
                self.passed += 1;
                println!("ok      {name} ({seconds:.1} s): {seen}");
            }
            Err(problem) => {
                self.failed += 1;
                println!("FAILED  {name} ({seconds:.1} s): {problem}");
            }
        }
    }

    /// Prepares what several checks need; where that fails, it is one failure in place of theirs.
    pub(super) fn prepare<T>(&mut self, name: &str, prepare: impl FnOnce() -> Outcome<T>) -> Option<T> {
        match prepare() {
            Ok(prepared) => Some(prepared),
            Err(problem) => {
                self.check(name, || Err(problem));
                None
            }
        }
    }

    /// Prints the line that test runners end with.
    pub(super) fn close(self) -> Outcome {
        println!("\n{} passed, {} failed", self.passed, self.failed);
        if self.failed > 0 { Err("a check failed".into()) } else { Ok(()) }
    }
}
