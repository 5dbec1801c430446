//! A report as JUnit XML, which build servers show. A test suite is a group.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{CaseReport, Demand, Evidence, Report, Verdict};
use crate::journal::Call;

/// Calls before a failure that are shown.
const TAIL: usize = 40;

impl Report {
    /// The document. What costs a driver nothing is told as skipped, so that no build server turns red for it.
    pub fn to_junit(&self) -> Result<String, quick_junit::SerializeError> {
        let mut document = quick_junit::Report::new(format!("{} on {}", self.profile, self.driver.name));
        document.set_time(time(self.seconds));
        document.add_test_suites(self.groups().into_iter().map(|(name, _)| self.suite(name)));
        document.to_string()
    }

    fn suite(&self, group: &str) -> TestSuite {
        let cases: Vec<&CaseReport> = self.cases.iter().filter(|case| case.group() == group).collect();
        let mut suite = TestSuite::new(group);
        suite.set_time(time(cases.iter().map(|case| case.seconds).sum()));
        suite.add_property(("seed", self.seed.to_string().as_str()));
        suite.add_test_cases(cases.into_iter().map(test_case));
        suite
    }
}

fn test_case(case: &CaseReport) -> TestCase {
    let mut status = match &case.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::Failed(how) if case.demand == Demand::Must => failure(how),
        Verdict::UnexpectedPass => failure("it passed, and was expected to fail"),
        Verdict::Failed(how) => skipped("not held, and need not be", how),
        Verdict::Skipped(why) => skipped("skipped", why),
        Verdict::NotOffered(what) => skipped("not offered", what),
        Verdict::ExpectedFailure(how) => skipped("expected to fail", how),
    };
    if let Some(evidence) = &case.evidence {
        status.set_description(description(case, evidence));
    }
    let name = case.id.split_once('/').map_or(case.id.as_str(), |(_, name)| name);
    let mut test = TestCase::new(name, status);
    test.set_classname(case.group()).set_time(time(case.seconds));
    if !case.remarks.is_empty() {
        test.set_system_out(case.remarks.join("\n"));
    }
    test
}

fn failure(how: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(how).set_type("clause not kept");
    status
}

fn skipped(kind: &str, why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(format!("{kind}: {why}"));
    status
}

fn description(case: &CaseReport, evidence: &Evidence) -> String {
    let calls = &evidence.transcript;
    let tail = calls.iter().skip(calls.len().saturating_sub(TAIL)).map(Call::to_string).collect::<Vec<_>>().join("\n");
    let reason = case.verdict.why().unwrap_or("it passed, and was expected to fail");
    let Evidence { log, reproduce, .. } = evidence;
    format!(
        "{}\nclauses: {}\nreason: {reason}\n\nreproduce:\n{reproduce}\n\nlast calls:\n{tail}\n\nlog of the driver:\n{log}",
        case.title,
        case.clauses.join(" ")
    )
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
