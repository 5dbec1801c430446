//! The clauses of the contract, read from `proto/README.md`, which the suite carries with it.

/// The only normative text.
const CONTRACT: &str = include_str!("../../proto/README.md");

/// One clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Such as `W3`.
    pub mark: &'static str,
    /// Its sentences, on one line.
    pub text: String,
}

/// Every clause, in the order of the contract.
pub fn all() -> impl Iterator<Item = Clause> {
    CONTRACT.split("\n- **[").skip(1).filter_map(|rest| {
        let (mark, text) = rest.split_once("]**")?;
        let end = text.find("\n\n").unwrap_or(text.len());
        let text = text[..end].split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Clause { mark, text })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mark_of_the_contract_is_a_clause() {
        let clauses: Vec<Clause> = all().collect();
        let marks: BTreeSet<&str> = clauses.iter().map(|clause| clause.mark).collect();
        assert_eq!(marks.len(), clauses.len(), "a mark stands twice");
        assert_eq!(clauses.len(), CONTRACT.matches("- **[").count());
        let first =
            clauses.first().map(|clause| (clause.mark, clause.text.starts_with("With `STORAGE_DRIVER_LISTEN_FD`")));
        assert_eq!(first, Some(("L1", true)));
        assert!(clauses.iter().all(|clause| clause.text.len() > 20), "{clauses:?}");
    }
}
