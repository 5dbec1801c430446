//! [`Names`]: what a store lists below a prefix, up to the next `/`, in the contract's order.
//!
//! A store lists keys by their bytes, so that `a-b` and `a.b` come before all that is below `a/`, and the contract lists
//! names, so that `a` comes first. Both orders agree but for a prefix whose name begins another name: it comes late from the
//! store. When a page of the store ends, only prefixes whose names begin its last name can be missing from what comes
//! before that: these few are to be looked for one by one.

use std::collections::BTreeMap;

use storagedriver_proto::Path;

use crate::driver::{Entry, Info, Page};

/// Names that were listed, and more than a page needs.
pub(super) struct Names<'a> {
    prefix: &'a str,
    start_after: Option<&'a str>,
    names: BTreeMap<String, Info>,
    /// The last in the store's order.
    last: String,
}

impl<'a> Names<'a> {
    /// Of keys that begin with `prefix`, after the name `start_after`.
    pub(super) fn new(prefix: &'a str, start_after: Option<&'a str>) -> Self {
        Names { prefix, start_after, names: BTreeMap::new(), last: String::new() }
    }

    /// Adds content with its whole key, or a prefix that ends with `/`. What is no name of a component is not the contract's,
    /// and does not show. Content counts where a prefix has its name.
    pub(super) fn add(&mut self, key: &str, info: Info) {
        let key = key.strip_prefix(self.prefix).unwrap_or_default();
        if key > self.last.as_str() {
            key.clone_into(&mut self.last);
        }
        let name = key.strip_suffix('/').unwrap_or(key);
        let is_folder_marker = name.len() < key.len() && info != Info::Prefix;
        if is_folder_marker || !Path::is_component(name) || self.start_after.is_some_and(|start| name <= start) {
            return;
        }
        if info != Info::Prefix || !self.names.contains_key(name) {
            self.names.insert(name.to_owned(), info);
        }
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Names of prefixes that may be there, come after the start and before the last name, and were not listed yet.
    pub(super) fn late(&self) -> Vec<String> {
        let begins = self.last.char_indices().filter(|(_, letter)| matches!(letter, '-' | '.'));
        let begins = begins.map(|(end, _)| &self.last[..end]);
        let wanted = begins.filter(|name| Path::is_component(name) && !self.names.contains_key(*name));
        wanted.filter(|name| self.start_after.is_none_or(|start| *name > start)).map(str::to_owned).collect()
    }

    /// The first `limit` names.
    pub(super) fn page(self, limit: usize) -> Page {
        let more = self.names.len() > limit;
        let entries = self.names.into_iter().take(limit).map(|(name, info)| Entry { name, info });
        Page { entries: entries.collect(), more }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;
    use crate::error::Result;
    use crate::flat::{Listed, Listing, PageRequest, page};

    /// The names in a store's order, folders with their slash.
    type Keys = BTreeSet<String>;

    /// A store that gives `chunk` keys at a time.
    struct Store {
        keys: Keys,
        chunk: usize,
    }

    impl Listing for Store {
        async fn keys(&self, request: &PageRequest<'_>) -> Result<Listed> {
            let start = request.token.or(request.start_after);
            let after = |key: &&String| start.is_none_or(|start| key.as_str() > start);
            let mut keys = self.keys.iter().filter(after);
            let entries: Vec<_> = keys.by_ref().take(self.chunk).map(|key| (key.clone(), Info::Prefix)).collect();
            let token = keys.next().and_then(|_| entries.last().map(|(key, _)| key.clone()));
            Ok(Listed { entries, token })
        }

        async fn has_any(&self, prefix: &str) -> Result<bool> {
            Ok(self.keys.contains(prefix))
        }
    }

    fn list(store: &Store, start_after: Option<&str>, limit: usize) -> Vec<String> {
        let page = page(store, "p/", start_after, limit).now_or_never().unwrap().unwrap();
        page.entries.into_iter().map(|entry| entry.name).collect()
    }

    proptest! {
        #[test]
        fn pages_come_in_order_and_miss_nothing(
            names in proptest::collection::btree_set("[a1.-]{1,4}", 0..40),
            limit in 1..6usize,
            chunk in 1..4usize,
        ) {
            let names: BTreeSet<String> = names.into_iter().filter(|name| Path::is_component(name)).collect();
            let store = Store { keys: names.iter().map(|name| format!("p/{name}/")).collect(), chunk };
            let (mut seen, mut after) = (Vec::new(), None::<String>);
            loop {
                let page = list(&store, after.as_deref(), limit);
                let Some(last) = page.last() else { break };
                after = Some(last.clone());
                seen.extend(page);
            }
            prop_assert_eq!(seen, names.into_iter().collect::<Vec<_>>());
        }
    }
}
