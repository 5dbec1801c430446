//! What the checks found, clause by clause, for a person to read.

use std::fmt;

use crate::expect::{Outcome, Unkept};

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The clause holds, as far as the check can see.
    Kept,
    /// The check does not apply to this driver, and why.
    Skipped(String),
    /// The clause does not hold, and how that shows.
    Broken(String),
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(()) => Verdict::Kept,
            Err(Unkept::Skipped(why)) => Verdict::Skipped(why),
            Err(Unkept::Broken(how)) => Verdict::Broken(how),
        }
    }
}

/// A verdict for each check. `Display` is a line for each.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<(&'static str, &'static str, Verdict)>,
}

impl Report {
    /// Whether no check found a clause broken.
    pub fn is_kept(&self) -> bool {
        !self.rows.iter().any(|(_, _, verdict)| matches!(verdict, Verdict::Broken(_)))
    }

    /// The clause, the name of the check, and its verdict.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, &Verdict)> {
        self.rows.iter().map(|(clause, name, verdict)| (*clause, *name, verdict))
    }

    pub(crate) fn push(&mut self, clause: &'static str, name: &'static str, verdict: Verdict) {
        self.rows.push((clause, name, verdict));
    }

    pub(crate) fn extend(&mut self, other: Report) {
        self.rows.extend(other.rows);
    }
}

type Row = (&'static str, &'static str, Verdict);

impl Extend<Row> for Report {
    fn extend<I: IntoIterator<Item = Row>>(&mut self, rows: I) {
        self.rows.extend(rows);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (clause, name, verdict) in &self.rows {
            match verdict {
                Verdict::Kept => writeln!(f, "kept     {clause:3} {name}")?,
                Verdict::Skipped(why) => writeln!(f, "skipped  {clause:3} {name}: {why}")?,
                Verdict::Broken(how) => writeln!(f, "BROKEN   {clause:3} {name}: {how}")?,
            }
        }
        Ok(())
    }
}
