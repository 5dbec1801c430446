//! One page of the names below a path, from a store that lists keys by their bytes.

use super::names::Names;
use crate::driver::{Info, Page};
use crate::error::Result;

/// The store is asked for so many names more than are wanted: one that was listed already, and one that tells of more.
const EXTRA: usize = 2;

/// Which keys of a store to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct PageRequest<'a> {
    /// What they begin with.
    pub prefix: &'a str,
    /// Keys that go on after the next `/` are told as one prefix.
    pub delimited: bool,
    /// A key that need not exist, before which there is nothing of interest.
    pub start_after: Option<&'a str>,
    /// Of the page before.
    pub token: Option<&'a str>,
    /// As many as are of use.
    pub limit: usize,
}

/// A page as the store lists it.
#[derive(Debug, Default)]
pub struct Listed {
    /// Whole keys of content, and prefixes that end with `/`.
    pub entries: Vec<(String, Info)>,
    /// For the next page; `None` when this was the last.
    pub token: Option<String>,
}

/// A store that lists its keys.
pub trait Listing: Sync {
    /// One page of keys.
    fn keys(&self, request: &PageRequest<'_>) -> impl Future<Output = Result<Listed>> + Send;

    /// Whether a key begins with `prefix`.
    fn has_any(&self, prefix: &str) -> impl Future<Output = Result<bool>> + Send;
}

/// At most `limit` names of keys that begin with `prefix`, after the name `start_after`, in the contract's order.
pub async fn page(store: &impl Listing, prefix: &str, start_after: Option<&str>, limit: usize) -> Result<Page> {
    let mut names = Names::new(prefix, start_after);
    let start = start_after.map(|name| format!("{prefix}{name}"));
    let mut token = None;
    loop {
        let request = PageRequest {
            prefix,
            delimited: true,
            start_after: start.as_deref(),
            token: token.as_deref(),
            limit: limit + EXTRA,
        };
        let listed = store.keys(&request).await?;
        for (key, info) in listed.entries {
            names.add(&key, info);
        }
        token = listed.token;
        if token.is_none() {
            return Ok(names.page(limit));
        }
        if names.len() > limit {
            find_late(store, prefix, &mut names).await?;
            return Ok(names.page(limit));
        }
    }
}

/// Adds the prefixes that the store would list later, and that come before its last name.
async fn find_late(store: &impl Listing, prefix: &str, names: &mut Names<'_>) -> Result<()> {
    for name in names.late() {
        let below = format!("{prefix}{name}/");
        if store.has_any(&below).await? {
            names.add(&below, Info::Prefix);
        }
    }
    Ok(())
}
