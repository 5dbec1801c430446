//! `driver-testsuite explain CASE`.

use std::process::ExitCode;

use clap::Args;
use driver_testsuite::{Case, Demand, cases, clause};

use super::Done;

#[derive(Args)]
pub(super) struct Arguments {
    /// The id of a case, or a part that only one id has.
    case: String,
}

pub(super) fn explain(arguments: &Arguments) -> Done {
    let case = find(&arguments.case)?;
    let demand = match case.demand {
        Demand::Must => "must pass",
        Demand::Should => "should pass",
    };
    println!("{}\n  {}\n  level {:?}, scope {:?}, {demand}", case.id, case.title, case.level, case.scope);
    if case.needs_process() {
        println!("  starts and kills driver processes of its own");
    }
    for clause in clause::all().filter(|clause| case.clauses.contains(&clause.mark)) {
        println!("\n  [{}] {}", clause.mark, clause.text);
    }
    Ok(ExitCode::SUCCESS)
}

fn find(part: &str) -> Result<&'static Case, String> {
    if let Some(case) = cases::all().find(|case| case.id == part) {
        return Ok(case);
    }
    let found: Vec<_> = cases::all().filter(|case| case.id.contains(part)).collect();
    match found[..] {
        [case] => Ok(case),
        [] => Err(format!("no case is called {part}; `driver-testsuite list` names them")),
        _ => Err(format!("{part} is in {}", found.iter().map(|case| case.id).collect::<Vec<_>>().join(", "))),
    }
}
