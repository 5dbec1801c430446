//! [`Path`]: the only way to name something in a store. It knows the rule and no meaning.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::limits::{COMPONENT_MAX, PATH_MAX};

/// An absolute path: `/` followed by components separated by `/`, or `/` alone for the root.
///
/// A component is 1 to 255 of `A-Z a-z 0-9 . _ -`, and neither `.` nor `..`; the whole is at most 1024 bytes
/// (README, "Paths"). Paths are ordered as List and Walk order them: bytewise, component by component.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Path(Arc<str>);

/// Why a text is not a [`Path`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    #[error("a path starts with '/'")]
    NotAbsolute,
    #[error("a path is at most {PATH_MAX} bytes long")]
    TooLong,
    #[error("a path component is at most {COMPONENT_MAX} bytes long")]
    ComponentTooLong,
    #[error("a path has no empty component and does not end with '/'")]
    EmptyComponent,
    #[error("a path component is not '.' or '..'")]
    DotComponent,
    #[error("a path component has only letters, digits, '.', '_' and '-'")]
    BadByte,
}

impl Path {
    /// `/`, which only List and Walk take.
    pub fn root() -> Self {
        Path(Arc::from("/"))
    }

    /// Checks the rule.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        if text.len() > PATH_MAX {
            return Err(InvalidPath::TooLong);
        }
        let components = text.strip_prefix('/').ok_or(InvalidPath::NotAbsolute)?;
        if !components.is_empty() {
            components.split('/').try_for_each(check_component)?;
        }
        Ok(Path(Arc::from(text)))
    }

    /// Whether a text may be one component of a path.
    pub fn is_component(text: &str) -> bool {
        check_component(text).is_ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// From the root downwards; none for `/`.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0[1..].split('/').filter(|component| !component.is_empty())
    }

    /// The last component; `None` for `/`.
    pub fn name(&self) -> Option<&str> {
        self.components().next_back()
    }

    /// The path without its last component; `None` for `/`.
    pub fn parent(&self) -> Option<Path> {
        let cut = self.0.rfind('/').filter(|_| !self.is_root())?;
        Some(if cut == 0 { Path::root() } else { Path(Arc::from(&self.0[..cut])) })
    }

    /// This path with one more component, or several separated by `/`.
    pub fn join(&self, relative: &str) -> Result<Path, InvalidPath> {
        let slash = if self.is_root() { "" } else { "/" };
        Path::parse(&format!("{}{slash}{relative}", self.0))
    }

    /// Whether this path lies strictly below `ancestor`: `/a/b` does below `/a` and `/`, `/ab` does not below `/a`.
    pub fn is_below(&self, ancestor: &Path) -> bool {
        match self.0.strip_prefix(ancestor.as_str()) {
            Some(rest) if ancestor.is_root() => !rest.is_empty(),
            Some(rest) => rest.starts_with('/'),
            None => false,
        }
    }
}

/// Whether a text may be one component of a [`Path`].
pub(crate) fn check_component(component: &str) -> Result<(), InvalidPath> {
    match component {
        "" => Err(InvalidPath::EmptyComponent),
        "." | ".." => Err(InvalidPath::DotComponent),
        _ if component.len() > COMPONENT_MAX => Err(InvalidPath::ComponentTooLong),
        _ if !component.bytes().all(is_path_byte) => Err(InvalidPath::BadByte),
        _ => Ok(()),
    }
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        self.components().cmp(other.components())
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::str::FromStr for Path {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        Path::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    #[test]
    fn takes_what_registries_have_always_stored() {
        for text in ["/", "/a", "/2", "/a.a", "/0-9/abcdefg", "/.abc", "/abc./abc", "/a--b", "/_.abc", "/Docker/data"] {
            assert_eq!(path(text).as_str(), text);
        }
    }

    #[test]
    fn refuses_what_could_leave_the_root_or_alias_another_path() {
        let rows = [
            ("", InvalidPath::NotAbsolute),
            ("a", InvalidPath::NotAbsolute),
            ("//a", InvalidPath::EmptyComponent),
            ("/a/", InvalidPath::EmptyComponent),
            ("/a/../b", InvalidPath::DotComponent),
            ("/.", InvalidPath::DotComponent),
            ("/a b", InvalidPath::BadByte),
            ("/a\0", InvalidPath::BadByte),
            ("/é", InvalidPath::BadByte),
            ("/a\\b", InvalidPath::BadByte),
        ];
        for (text, why) in rows {
            assert_eq!(Path::parse(text), Err(why), "{text:?}");
        }
        assert_eq!(Path::parse(&format!("/{}", "a".repeat(256))), Err(InvalidPath::ComponentTooLong));
        assert_eq!(Path::parse(&"/a".repeat(513)), Err(InvalidPath::TooLong));
    }

    #[test]
    fn orders_by_component_and_not_by_byte() {
        let mut paths = ["/a-b/x", "/a/x", "/a.b", "/a/x/y", "/Z"].map(path);
        paths.sort();
        assert_eq!(paths.map(|p| p.to_string()), ["/Z", "/a/x", "/a/x/y", "/a-b/x", "/a.b"]);
    }

    #[test]
    fn below_is_by_component() {
        assert!(path("/a/b").is_below(&path("/a")) && path("/a").is_below(&Path::root()));
        assert!(!path("/ab").is_below(&path("/a")) && !path("/a").is_below(&path("/a")));
        assert_eq!(path("/a/b").parent(), Some(path("/a")));
        assert_eq!(path("/a").parent(), Some(Path::root()));
        assert_eq!(Path::root().parent(), None);
    }

    proptest! {
        #[test]
        fn join_undoes_parent_and_name(text in "(/[A-Za-z0-9_-]{1,8}){1,6}") {
            let whole = path(&text);
            prop_assert_eq!(whole.parent().unwrap().join(whole.name().unwrap()).unwrap(), whole);
        }

        #[test]
        fn never_panics(text in "\\PC{0,64}") {
            let _ = Path::parse(&text);
        }
    }
}
