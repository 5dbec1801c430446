//! The checks, each under the clause it looks at.

mod content;
mod life;
mod listing;
mod paths;
mod reading;
mod sessions;

use futures::future::BoxFuture;

use crate::client::Client;
use crate::expect::Outcome;
use crate::process::Launch;

/// A look at one clause through a configured store. It has a root path of its own.
pub(crate) struct Check {
    pub(crate) clause: &'static str,
    pub(crate) name: &'static str,
    pub(crate) run: fn(Client) -> BoxFuture<'static, Outcome>,
}

/// A look at one clause that needs a process, or several, to itself.
pub(crate) struct LifeCheck {
    pub(crate) clause: &'static str,
    pub(crate) name: &'static str,
    pub(crate) run: fn(Launch) -> BoxFuture<'static, Outcome>,
}

/// The checks of one module, as `clause => function` rows.
macro_rules! table {
    ($kind:ident: $($clause:literal => $check:ident,)*) => {
        pub(super) const CHECKS: &[super::$kind] = &[$(super::$kind {
            clause: $clause,
            name: stringify!($check),
            run: |subject| Box::pin($check(subject)),
        }),*];
    };
}
use table;

/// Checks of what is stored.
pub(crate) fn store() -> impl Iterator<Item = &'static Check> {
    [paths::CHECKS, content::CHECKS, reading::CHECKS, listing::CHECKS, sessions::CHECKS].into_iter().flatten()
}

/// Checks of the process.
pub(crate) fn life() -> impl Iterator<Item = &'static LifeCheck> {
    life::CHECKS.iter()
}
