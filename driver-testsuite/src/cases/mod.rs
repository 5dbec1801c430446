//! The catalogue: every case, group by group. A case's group is the module it stands in.

mod backdoor;
mod concurrency;
mod configure;
mod content;
mod crash;
mod deleting;
mod descriptors;
mod disk;
mod errors;
mod faults;
mod files;
mod handshake;
mod health;
mod holders;
mod layout;
mod leaks;
mod life;
mod listing;
mod moving;
mod packets;
mod paths;
mod reading;
mod readonly;
mod redirects;
mod resume;
mod sessions;
mod sharing;

use crate::case::{Case, Demand, Level, Run, Scope};

/// The last look of every run.
const CLEANUP: &[Case] = &[Case {
    id: "cleanup/nothing_is_left",
    title: "When everything a run made is deleted, nothing of it is left, not even the prefix.",
    clauses: &["D1", "G6"],
    level: Level::Quick,
    scope: Scope::Writing,
    demand: Demand::Must,
    run: Run::Cleanup,
}];

/// Every case, in the order in which a person would read them.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let groups = [
        handshake::CASES,
        life::CASES,
        health::CASES,
        configure::CASES,
        paths::CASES,
        content::CASES,
        reading::CASES,
        listing::CASES,
        moving::CASES,
        deleting::CASES,
        sessions::CASES,
        concurrency::CASES,
        layout::CASES,
        errors::CASES,
        redirects::CASES,
        descriptors::CASES,
        holders::CASES,
        packets::CASES,
        files::CASES,
        backdoor::CASES,
        disk::CASES,
        crash::CASES,
        resume::CASES,
        faults::CASES,
        leaks::CASES,
        sharing::CASES,
        readonly::CASES,
        CLEANUP,
    ];
    groups.into_iter().flatten()
}
