//! [`Keys`]: which key stands for what. Nothing else makes a key or takes one apart.
//!
//! Content at `/a/b` has the key `a/b` below the root, as distribution has it. What the driver keeps for itself has keys
//! with a component that begins with `~`, which no path can have: they collide with nothing, and no listing shows them.

use storagedriver_proto::Path;

/// Longest path that stands in one of the driver's own keys as it is: keys have at most 1024 bytes, and a root and a name
/// must fit beside it.
const VERBATIM_MAX: usize = 768;

/// What a driver keeps for itself for one purpose: the first component of its keys, which begins with `~`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area(pub &'static str);

/// The keys of one store.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Empty, or ending with `/`.
    root: String,
}

impl Keys {
    /// Of a store below `rootdirectory`, whose outer slashes mean nothing.
    pub fn new(rootdirectory: &str) -> Self {
        let root = rootdirectory.trim_matches('/');
        Keys { root: if root.is_empty() { String::new() } else { format!("{root}/") } }
    }

    /// Of a store whose keys all begin with just this.
    pub fn beginning_with(root: &str) -> Self {
        Keys { root: root.to_owned() }
    }

    /// What all keys of the store begin with.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The key of the content at `path`.
    pub fn content(&self, path: &Path) -> String {
        format!("{}{}", self.root, &path.as_str()[1..])
    }

    /// What the keys of all content below `path` begin with, and no others.
    pub fn below(&self, path: &Path) -> String {
        if path.is_root() { self.root.clone() } else { format!("{}/", self.content(path)) }
    }

    /// What the driver's own keys for exactly `path` begin with.
    pub fn own(&self, area: Area, path: &Path) -> String {
        format!("{}~", self.own_folder(area, path))
    }

    /// What the driver's own keys for `path` and all paths below it begin with. Some may be those of other paths where
    /// the path is too long to be told apart: see [`own_is_at_or_below`](Self::own_is_at_or_below).
    pub fn own_below(&self, area: Area, path: &Path) -> String {
        format!("{}{}/", self.area(area), short(path))
    }

    /// Whether what [`own_below`](Self::own_below) begins holds nothing of other paths.
    pub fn own_is_at_or_below(path: &Path) -> bool {
        path.as_str().len() <= VERBATIM_MAX
    }

    /// What all keys of `area` begin with.
    pub fn area(&self, area: Area) -> String {
        format!("{}{}/", self.root, area.0)
    }

    fn own_folder(&self, area: Area, path: &Path) -> String {
        let below = self.own_below(area, path);
        if path.as_str().len() <= VERBATIM_MAX { below } else { format!("{below}~{:016x}/", digest(path)) }
    }
}

/// The path without its first slash or, of one that is too long, as many of its first components as are short enough.
fn short(path: &Path) -> &str {
    let text = path.as_str();
    if text.len() <= VERBATIM_MAX {
        return &text[1..];
    }
    let cut = text[..=VERBATIM_MAX].rfind('/').unwrap_or(VERBATIM_MAX);
    &text[1..cut]
}

/// FNV-1a: alike in every process of every build, which the hashers of the standard library do not promise.
fn digest(path: &Path) -> u64 {
    let step = |digest: u64, byte| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    path.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SESSIONS: Area = Area("~sessions");

    /// Longest key that stores take, in bytes.
    const KEY_MAX: usize = 1024;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    #[test]
    fn content_has_the_keys_that_distribution_gives_it() {
        for (root, key) in [("", "docker/a"), ("/", "docker/a"), ("/x/y/", "x/y/docker/a"), ("x", "x/docker/a")] {
            assert_eq!(Keys::new(root).content(&path("/docker/a")), key, "{root}");
        }
        assert_eq!(Keys::new("").below(&Path::root()), "");
        assert_eq!(Keys::new("x").below(&path("/a")), "x/a/");
    }

    #[test]
    fn the_longest_path_has_keys_that_stores_take() {
        let longest = path(&"/0123".repeat(KEY_MAX / 5));
        let keys = Keys::new(&"r".repeat(100));
        assert!(keys.own(SESSIONS, &longest).len() < KEY_MAX - 100);
    }

    /// Paths of a few short components, so that they often begin alike, and some that are too long.
    fn paths() -> impl Strategy<Value = Path> {
        let short = proptest::collection::vec("[a-b.-]{1,2}x", 1..4);
        let long = (proptest::collection::vec("[a-b]{200}", 4..5), proptest::option::of("[a-b]"));
        let long = long.prop_map(|(parts, last)| parts.into_iter().chain(last).collect::<Vec<_>>());
        prop_oneof![4 => short, 1 => long].prop_map(|parts| path(&format!("/{}", parts.join("/"))))
    }

    proptest! {
        #[test]
        fn keys_are_below_each_other_as_paths_are(one in paths(), other in paths()) {
            let keys = Keys::new("root");
            let (below, own) = (keys.below(&other), keys.own(SESSIONS, &one));
            prop_assert_eq!(keys.content(&one).starts_with(&below), one.is_below(&other));
            prop_assert_eq!(own == keys.own(SESSIONS, &other), one == other);
            let covered = own.starts_with(&keys.own_below(SESSIONS, &other));
            let wanted = one == other || one.is_below(&other);
            prop_assert!(covered || !wanted);
            prop_assert!(!covered || wanted || !Keys::own_is_at_or_below(&other));
        }
    }
}
