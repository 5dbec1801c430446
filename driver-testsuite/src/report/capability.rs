//! Which capabilities a driver offers, and which of those the cases have proven.

use super::{Capabilities, CaseReport, Report, Scope, Verdict};

/// What is known of one capability.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof<'a> {
    /// As the contract names it.
    pub name: &'static str,
    /// What the driver says of it.
    pub declared: String,
    pub standing: Standing,
    /// The ids of the cases that look at it.
    pub cases: Vec<&'a str>,
}

/// Whether a capability is there, and whether it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    NotOffered,
    /// Offered; every case that looked at it passed, and there was one.
    Proven,
    /// Offered; a case saw it fail.
    Broken,
    /// Offered; no case of the run looked at it.
    NotProven,
    /// It tells the caller what calls cost, and promises nothing.
    Hint,
}

impl Standing {
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::NotOffered => "not offered",
            Standing::Proven => "proven",
            Standing::Broken => "broken",
            Standing::NotProven => "not proven",
            Standing::Hint => "a hint",
        }
    }

    fn is_offered(self) -> bool {
        matches!(self, Standing::Proven | Standing::Broken | Standing::NotProven)
    }
}

/// One capability: its name, what the driver says of it, whether it is offered, and which cases look at it.
struct Kind {
    name: &'static str,
    declared: fn(&Capabilities) -> String,
    offered: fn(&Capabilities) -> bool,
    looks: fn(&CaseReport) -> bool,
}

const KINDS: [Kind; 9] = [
    Kind {
        name: "durability",
        declared: |told| told.durability.clone(),
        offered: |told| told.durability != "VOLATILE",
        looks: |case| cites(case, &["G3"]),
    },
    Kind {
        name: "granularity",
        declared: |told| told.granularity.to_string(),
        offered: |told| told.granularity > 1,
        looks: |case| case.id.contains("granularity"),
    },
    Kind {
        name: "shared",
        declared: |told| told.shared.to_string(),
        offered: |told| told.shared,
        looks: |case| case.scope == Scope::Shared,
    },
    Kind {
        name: "read_only",
        declared: |told| told.read_only.to_string(),
        offered: |told| told.read_only,
        looks: |case| case.scope == Scope::ReadOnly,
    },
    Kind {
        name: "if_absent",
        declared: |told| told.if_absent.to_string(),
        offered: |told| told.if_absent,
        looks: |case| case.id.contains("if_absent") || cites(case, &["O4"]),
    },
    Kind {
        name: "redirect",
        declared: |told| told.redirect.to_string(),
        offered: |told| told.redirect,
        looks: |case| case.id.contains("redirect") || cites(case, &["F1"]),
    },
    Kind {
        name: "descriptors",
        declared: |told| told.descriptors.to_string(),
        offered: |told| told.descriptors,
        looks: |case| case.scope == Scope::Descriptors,
    },
    Kind {
        name: "write_descriptors",
        declared: |told| told.write_descriptors.to_string(),
        offered: |told| told.write_descriptors,
        looks: |case| cites(case, &["X10", "X11"]),
    },
    Kind {
        name: "commit_copies",
        declared: |told| told.commit_copies.to_string(),
        offered: |told| told.commit_copies,
        looks: |_| false,
    },
];

fn cites(case: &CaseReport, marks: &[&str]) -> bool {
    case.clauses.iter().any(|clause| marks.contains(&clause.as_str()))
}

impl Report {
    /// What is known of each capability of the contract.
    pub fn capability_proofs(&self) -> Vec<Proof<'_>> {
        KINDS.iter().map(|kind| self.proof(kind)).collect()
    }

    /// How many capabilities are proven, and how many are offered.
    pub fn proven_capabilities(&self) -> (usize, usize) {
        let proofs = self.capability_proofs();
        let proven = proofs.iter().filter(|proof| proof.standing == Standing::Proven).count();
        (proven, proofs.iter().filter(|proof| proof.standing.is_offered()).count())
    }

    fn proof(&self, kind: &Kind) -> Proof<'_> {
        let looked: Vec<&CaseReport> = self.cases.iter().filter(|case| (kind.looks)(case)).collect();
        let any = |of: fn(&Verdict) -> bool| looked.iter().any(|case| of(&case.verdict));
        let standing = match (kind.name, (kind.offered)(&self.capabilities)) {
            (_, false) => Standing::NotOffered,
            ("commit_copies", true) => Standing::Hint,
            _ if any(|verdict| matches!(verdict, Verdict::Failed(_) | Verdict::ExpectedFailure(_))) => Standing::Broken,
            _ if any(|verdict| matches!(verdict, Verdict::Skipped(_))) => Standing::NotProven,
            _ if any(|verdict| matches!(verdict, Verdict::Passed | Verdict::UnexpectedPass)) => Standing::Proven,
            _ => Standing::NotProven,
        };
        let cases = looked.into_iter().map(|case| case.id.as_str()).collect();
        Proof { name: kind.name, declared: (kind.declared)(&self.capabilities), standing, cases }
    }
}
