//! [`Worlds`]: what a caller knows of his paths. After an answer that was lost it may be one way or the other, and every way is
//! kept until something is seen that rules it out.
//!
//! It knows nothing of drivers.

use std::collections::{BTreeMap, BTreeSet};

/// A content: its number and its length.
pub(crate) type Held = (u64, usize);

/// What is at each name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct World(BTreeMap<&'static str, Held>);

impl World {
    pub(crate) fn with(&self, name: &'static str, held: Option<Held>) -> Self {
        let mut names = self.0.clone();
        names.remove(name);
        names.extend(held.map(|held| (name, held)));
        World(names)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Held> {
        self.0.get(name).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().copied()
    }
}

/// Every way it can be.
pub(crate) struct Worlds(BTreeSet<World>);

impl Default for Worlds {
    fn default() -> Self {
        Worlds([World::default()].into())
    }
}

impl Worlds {
    /// This is at `name` now.
    pub(crate) fn became(&mut self, name: &'static str, held: Option<Held>) {
        self.may_be(|world| vec![world.with(name, held)]);
    }

    /// This is at `name`, or what was there before.
    pub(crate) fn may_have_become(&mut self, name: &'static str, held: Option<Held>) {
        self.may_be(|world| vec![world.clone(), world.with(name, held)]);
    }

    /// Each way it was became one of others.
    pub(crate) fn may_be(&mut self, outcomes: impl Fn(&World) -> Vec<World>) {
        self.0 = self.0.iter().flat_map(outcomes).collect();
    }

    /// Something was seen: whether it can be.
    pub(crate) fn saw(&mut self, is_so: impl Fn(&World) -> bool) -> bool {
        self.0.retain(is_so);
        !self.0.is_empty()
    }

    /// What may be at `name`.
    pub(crate) fn at(&self, name: &str) -> BTreeSet<Option<Held>> {
        self.0.iter().map(|world| world.get(name)).collect()
    }
}

#[test]
fn what_is_seen_rules_out_what_cannot_be() {
    let mut worlds = Worlds::default();
    worlds.became("a", Some((1, 10)));
    worlds.may_have_become("a", Some((2, 20)));
    worlds.may_be(|world| vec![world.clone(), world.with("a", None).with("b", world.get("a"))]);
    assert_eq!(worlds.at("a"), [Some((1, 10)), Some((2, 20)), None].into());
    assert!(worlds.saw(|world| world.get("b") == Some((2, 20))));
    assert_eq!(worlds.at("a"), [None].into());
    assert!(!worlds.saw(|world| world.get("a").is_some()), "a moved content is in two places");
}
