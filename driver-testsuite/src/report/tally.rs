//! How many cases came out how.

use super::{CaseReport, Demand, Report, Verdict};

/// How many of some cases came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    pub not_offered: usize,
    /// Known to fail, and failed.
    pub expected: usize,
}

impl Tally {
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a CaseReport>) -> Self {
        let mut tally = Tally::default();
        for case in cases {
            let place = match case.verdict {
                Verdict::Passed => &mut tally.passed,
                Verdict::Failed(_) | Verdict::UnexpectedPass => &mut tally.failed,
                Verdict::Skipped(_) => &mut tally.skipped,
                Verdict::NotOffered(_) => &mut tally.not_offered,
                Verdict::ExpectedFailure(_) => &mut tally.expected,
            };
            *place += 1;
        }
        tally
    }

    /// All the cases.
    pub fn all(self) -> usize {
        self.passed + self.failed + self.skipped + self.not_offered + self.expected
    }

    /// Those that are about something the driver has.
    pub fn offered(self) -> usize {
        self.all() - self.not_offered
    }
}

impl Report {
    /// Of every case.
    pub fn tally(&self) -> Tally {
        Tally::of(&self.cases)
    }

    /// Of the cases with one demand.
    pub fn tally_of(&self, demand: Demand) -> Tally {
        Tally::of(self.cases.iter().filter(|case| case.demand == demand))
    }

    /// Group by group, in the order of the catalogue.
    pub fn groups(&self) -> Vec<(&str, Tally)> {
        let mut names: Vec<&str> = Vec::new();
        for case in &self.cases {
            if !names.contains(&case.group()) {
                names.push(case.group());
            }
        }
        let of = |name| Tally::of(self.cases.iter().filter(move |case| case.group() == name));
        names.into_iter().map(|name| (name, of(name))).collect()
    }
}
