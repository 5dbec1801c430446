//! `driver-testsuite list`.

use std::process::ExitCode;

use clap::Args;
use driver_testsuite::{Demand, Level, Profile, cases};

use super::Done;

#[derive(Args)]
pub(super) struct Arguments {
    /// Only the cases of this profile.
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// Only the cases up to this level.
    #[arg(long, value_enum)]
    level: Option<Level>,
}

pub(super) fn list(arguments: &Arguments) -> Done {
    let in_profile = |scope| arguments.profile.is_none_or(|profile| profile.includes(scope));
    let chosen =
        cases::all().filter(|case| in_profile(case.scope) && arguments.level.is_none_or(|most| case.level <= most));
    for case in chosen {
        let demand = if case.demand == Demand::Must { "" } else { " (should)" };
        println!("{:44} [{}]{demand} {}", case.id, case.clauses.join(" "), case.title);
    }
    Ok(ExitCode::SUCCESS)
}
