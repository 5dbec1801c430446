//! A report as lines for a terminal.

use std::fmt;

use super::{CaseReport, Demand, Host, Report, Tally, Verdict, units};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cases.iter().try_for_each(|case| writeln!(f, "{case}"))?;
        self.note().map_or(Ok(()), |note| writeln!(f, "{note}"))?;
        writeln!(f, "{}", self.summary())
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8} {} [{}]", self.word(), self.id, self.clauses.join(" "))?;
        self.verdict.why().map_or(Ok(()), |why| write!(f, ": {why}"))?;
        self.remarks.iter().try_for_each(|remark| write!(f, "\n         remark: {remark}"))
    }
}

impl CaseReport {
    /// What became of it, in one word where that is enough.
    pub fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed(_) if self.demand == Demand::Must => "FAILED",
            Verdict::Failed(_) => "failed",
            Verdict::Skipped(_) => "skipped",
            Verdict::NotOffered(_) => "n/a",
            Verdict::ExpectedFailure(_) => "expected",
            Verdict::UnexpectedPass => "PASSED, and was expected to fail",
        }
    }
}

impl Report {
    /// One line: how many cases came out how, and what that means.
    pub fn summary(&self) -> String {
        format!("{} in {:.1} s: {}", self.tally(), self.seconds, self.meaning())
    }

    /// What became of cases that a driver need not pass, when some did not.
    pub fn note(&self) -> Option<String> {
        let failed = self.tally_of(Demand::Should).failed;
        let counted = if failed == 1 {
            "1 of the failed cases is".to_owned()
        } else {
            format!("{failed} of the failed cases are")
        };
        (failed > 0).then(|| {
            format!(
                "should: {counted} told as `failed`, not as `FAILED`: to pass is good, and not needed for compliance"
            )
        })
    }

    /// What the outcome of the cases means for the profile.
    pub fn meaning(&self) -> String {
        let name = self.profile;
        let expected = self.cases.iter().any(|case| matches!(case.verdict, Verdict::ExpectedFailure(_)));
        match (self.is_compliant(), self.is_kept()) {
            (true, _) => format!("compliant with profile {name}"),
            (false, true) if expected => format!("NOT compliant with profile {name}, as was expected"),
            (false, true) => format!("nothing broken, but not all of profile {name} was shown to hold"),
            (false, false) => format!("NOT compliant with profile {name}"),
        }
    }

    /// The driver and its version.
    pub fn title(&self) -> String {
        format!("{} {}", self.driver.name, self.driver.version).trim().to_owned()
    }

    /// How the run was made, as names and values.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let Host { system, processors, memory_mib } = &self.host;
        let suite = env!("CARGO_PKG_NAME");
        vec![
            ("target", self.target.clone()),
            ("profile", format!("{}, level {}", self.profile, self.level)),
            ("cases", format!("{}{}", self.tally(), if self.filtered { " (some were left out)" } else { "" })),
            ("suite", format!("{suite} {}, protocol {}", self.suite, self.protocol)),
            ("seed", self.seed.to_string()),
            ("began", format!("{}, took {:.1} s", self.started, self.seconds)),
            ("host", format!("{system}, {processors} processors, {memory_mib} MiB")),
            ("traffic", units::traffic(&self.traffic)),
        ]
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { passed, failed, skipped, not_offered, expected } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped, {not_offered} not offered")?;
        if *expected > 0 { write!(f, ", {expected} failed as expected") } else { Ok(()) }
    }
}
