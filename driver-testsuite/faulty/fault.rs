//! The faults: which there are, what each breaks, and which are switched on.

use std::sync::OnceLock;

use crate::Problem;

static SWITCHED_ON: OnceLock<Vec<Fault>> = OnceLock::new();

struct Row {
    fault: Fault,
    name: &'static str,
    clauses: &'static str,
    sentence: &'static str,
}

/// The faults as `Variant name clauses sentence` rows.
macro_rules! faults {
    ($($fault:ident $name:literal $clauses:literal $sentence:literal,)*) => {
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Fault { $($fault),* }

        const TABLE: &[Row] = &[$(Row {
            fault: Fault::$fault,
            name: $name,
            clauses: $clauses,
            sentence: $sentence,
        }),*];
    };
}

faults! {
    NonceNotEchoed "nonce-not-echoed" "H3" "Hello answers a nonce of its own.",
}

impl Fault {
    /// Whether the fault is switched on.
    pub(crate) fn on(self) -> bool {
        SWITCHED_ON.get().is_some_and(|faults| faults.contains(&self))
    }
}

/// Switches faults on, once.
pub(crate) fn switch_on(names: &[String]) -> Result<(), Problem> {
    let fault = |name: &String| {
        let row = TABLE.iter().find(|row| row.name == *name);
        row.map(|row| row.fault).ok_or_else(|| format!("there is no fault {name}; --faults lists them"))
    };
    let faults = names.iter().map(fault).collect::<Result<_, _>>()?;
    SWITCHED_ON.set(faults).map_err(|_| "faults are switched on once".into())
}

/// All faults, one a line: name, clauses, sentence.
pub(crate) fn table() -> String {
    TABLE.iter().map(|row| format!("{}\t{}\t{}\n", row.name, row.clauses, row.sentence)).collect()
}
