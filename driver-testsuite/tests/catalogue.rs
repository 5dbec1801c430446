//! The catalogue is complete and in order: every clause of the contract has a case, and every case cites clauses.

use std::collections::BTreeSet;

use driver_testsuite::{cases, clause};

/// Clauses that no driver can break, and why.
const NOT_OF_A_DRIVER: [(&str, &str); 2] =
    [("L3", "it says what the contract leaves to an operator"), ("E3", "it is the duty of a caller")];

#[test]
fn every_clause_has_a_case() {
    let cited: BTreeSet<&str> = cases::all().flat_map(|case| case.clauses).copied().collect();
    let free: BTreeSet<&str> = NOT_OF_A_DRIVER.map(|(mark, _)| mark).into();
    let marks: BTreeSet<&str> = clause::all().map(|clause| clause.mark).collect();
    let due = |mark: &&&str| !cited.contains(**mark) && !free.contains(**mark);
    let without: Vec<_> = marks.iter().filter(due).collect();
    assert!(without.is_empty(), "no case looks at {without:?}");
    let unknown: Vec<_> = cited.union(&free).filter(|mark| !marks.contains(*mark)).collect();
    assert!(unknown.is_empty(), "the contract has no {unknown:?}");
}

#[test]
fn every_case_has_a_name_of_its_own_and_a_sentence() {
    let ids: BTreeSet<&str> = cases::all().map(|case| case.id).collect();
    assert_eq!(ids.len(), cases::all().count());
    for case in cases::all() {
        let sentence =
            case.title.ends_with('.') && case.title.starts_with(|first: char| first.is_uppercase() || first == '`');
        assert!(sentence, "{}: {:?} is no sentence", case.id, case.title);
        assert!(!case.clauses.is_empty(), "{} cites no clause", case.id);
    }
}
