//! The table of cases, failures first. A case that is not as it should be folds open to what helps to find the cause.

use maud::{Markup, html};

use crate::report::{CaseReport, Demand, Evidence, Verdict, units};

pub(super) fn section(cases: &[CaseReport]) -> Markup {
    let outcomes = ["passed", "failed", "skipped", "not-offered", "expected"];
    let there: Vec<_> =
        outcomes.into_iter().filter(|class| cases.iter().any(|case| class_of(case) == *class)).collect();
    html! {
        section {
            h2 { "Cases" }
            form.filter {
                input #search type="search" placeholder="part of a name, a clause, a reason" aria-label="Filter cases";
                @for class in there {
                    label { input type="checkbox" value=(class) checked; span.pill.(class) { (class.replace('-', " ")) } }
                }
                output #shown { (cases.len()) " of " (cases.len()) }
            }
            table #cases {
                thead { tr { th { "outcome" } th { "case" } th { "clauses" } th { "level" } th.number { "took" } } }
                @for case in cases.iter().filter(|case| case.is_bad()) { (entry(case)) }
                @for case in cases.iter().filter(|case| !case.is_bad()) { (entry(case)) }
            }
        }
    }
}

/// A body of the table for each case, so that its evidence is hidden with it.
fn entry(case: &CaseReport) -> Markup {
    let class = class_of(case);
    let demand = if case.demand == Demand::Should { ", should" } else { "" };
    html! {
        tbody data-outcome=(class) {
            tr {
                td { span.pill.(class) { (class.replace('-', " ")) } }
                td {
                    code { (case.id) }
                    div.small { (case.title) }
                    @if let Some(why) = why(case) { div.why { (why) } }
                    @for remark in &case.remarks { div.remark { (remark) } }
                    @if let Some(evidence) = &case.evidence { (fold(evidence)) }
                }
                td { (case.clauses.join(" ")) }
                td { (case.level) (demand) }
                td.number { (units::time(case.seconds * 1e6)) }
            }
        }
    }
}

fn class_of(case: &CaseReport) -> &'static str {
    match case.verdict {
        Verdict::Passed => "passed",
        Verdict::Failed(_) | Verdict::UnexpectedPass => "failed",
        Verdict::Skipped(_) => "skipped",
        Verdict::NotOffered(_) => "not-offered",
        Verdict::ExpectedFailure(_) => "expected",
    }
}

fn why(case: &CaseReport) -> Option<&str> {
    match &case.verdict {
        Verdict::UnexpectedPass => Some("it passed, and was expected to fail: take it off the list"),
        verdict => verdict.why(),
    }
}

fn fold(evidence: &Evidence) -> Markup {
    let calls = evidence.transcript.iter().map(|call| format!("{call}\n"));
    html! {
        details {
            summary { "evidence" }
            h4 { "To see it again" }
            pre { (evidence.reproduce) }
            h4 { "Its last calls" }
            pre { @for call in calls { (call) } }
            h4 { "Log of the driver" }
            @if evidence.log.is_empty() { p.small { "The driver wrote nothing." } } @else { pre { (evidence.log) } }
        }
    }
}
