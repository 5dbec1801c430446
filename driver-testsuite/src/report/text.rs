//! A report as lines for a terminal.

use std::fmt;

use super::{CaseReport, Demand, Report, Verdict};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cases.iter().try_for_each(|case| writeln!(f, "{case}"))?;
        writeln!(f, "{}", self.summary())
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, why) = match &self.verdict {
            Verdict::Passed => ("passed", None),
            Verdict::Failed(how) if self.demand == Demand::Must => ("FAILED", Some(how)),
            Verdict::Failed(how) => ("failed", Some(how)),
            Verdict::Skipped(why) => ("skipped", Some(why)),
            Verdict::NotOffered(what) => ("n/a", Some(what)),
            Verdict::ExpectedFailure(how) => ("expected", Some(how)),
            Verdict::UnexpectedPass => ("PASSED, and was expected to fail", None),
        };
        write!(f, "{word:8} {} [{}]", self.id, self.clauses.join(" "))?;
        why.map_or(Ok(()), |why| write!(f, ": {why}"))?;
        self.remarks.iter().try_for_each(|remark| write!(f, "\n         remark: {remark}"))
    }
}

impl Report {
    /// One line: how many cases came out how, and what that means.
    pub fn summary(&self) -> String {
        let count = |of: fn(&Verdict) -> bool| self.cases.iter().filter(|case| of(&case.verdict)).count();
        let passed = count(|verdict| matches!(verdict, Verdict::Passed));
        let failed = count(Verdict::is_bad);
        let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
        let other = self.cases.len() - passed - failed - skipped;
        let name = self.profile;
        let meaning = match (self.is_compliant(), self.is_kept()) {
            (true, _) => format!("compliant with profile {name}"),
            (false, true) => format!("nothing broken, but not all of profile {name} was looked at"),
            (false, false) => format!("NOT compliant with profile {name}"),
        };
        format!(
            "{passed} passed, {failed} failed, {skipped} skipped, {other} not offered or expected to fail, \
             in {:.1} s: {meaning}",
            self.seconds
        )
    }
}
