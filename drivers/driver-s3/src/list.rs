//! One page of the names below a path, in the contract's order.
//!
//! A bucket lists keys by their bytes, so that `a-b` and `a.b` come before all that is below `a/`, and the contract lists
//! names, so that `a` comes first. Both orders agree but for a prefix whose name begins another name: it comes late from the
//! bucket. When a page of the bucket ends, only prefixes whose names begin its last name can be missing from what comes
//! before that: these few are looked for one by one.

use std::collections::BTreeMap;

use driver_kit::{Entry, Info, Page, Path, Result};

use crate::bucket::{Listed, PageRequest};
use crate::store::Store;

/// A bucket is asked for so many names more than are wanted: one that was listed already, and one that tells of more.
const EXTRA: usize = 2;

impl Store {
    pub(crate) async fn list(&self, path: &Path, start_after: Option<&str>, limit: usize) -> Result<Page> {
        let prefix = self.keys.below(path);
        let mut names = Names { start_after, names: BTreeMap::new(), last: String::new() };
        let start = start_after.map(|name| format!("{prefix}{name}"));
        let mut token = None;
        loop {
            let page = PageRequest {
                prefix: &prefix,
                delimited: true,
                start_after: start.as_deref().filter(|_| token.is_none()),
                token: token.as_deref(),
                limit: limit + EXTRA,
            };
            let listed = self.bucket.list(&page).await?;
            token = listed.next.clone();
            names.take(&prefix, listed);
            if token.is_none() {
                return Ok(names.page(limit));
            }
            if names.names.len() > limit {
                self.find_late(&prefix, &mut names).await?;
                return Ok(names.page(limit));
            }
        }
    }

    /// Adds the prefixes that the bucket would list later, and that come before its last name.
    async fn find_late(&self, prefix: &str, names: &mut Names<'_>) -> Result<()> {
        for name in names.late() {
            if self.bucket.has_any(&format!("{prefix}{name}/")).await? {
                names.names.insert(name, Info::Prefix);
            }
        }
        Ok(())
    }
}

/// Names that were listed, and more than a page needs.
struct Names<'a> {
    start_after: Option<&'a str>,
    names: BTreeMap<String, Info>,
    /// The last in the bucket's order.
    last: String,
}

impl Names<'_> {
    fn take(&mut self, prefix: &str, listed: Listed) {
        for (key, object) in listed.objects {
            self.add(key.strip_prefix(prefix).unwrap_or_default(), object.info());
        }
        for key in listed.prefixes {
            self.add(key.strip_prefix(prefix).unwrap_or_default(), Info::Prefix);
        }
    }

    /// What is no name of a component is not the contract's, and does not show. Content counts where a prefix has its name.
    fn add(&mut self, key: &str, info: Info) {
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

    /// Names of prefixes that may be there, come after the start and before the last name, and were not listed yet.
    fn late(&self) -> Vec<String> {
        let begins = self.last.char_indices().filter(|(_, letter)| matches!(letter, '-' | '.'));
        let begins = begins.map(|(end, _)| &self.last[..end]);
        let wanted = begins.filter(|name| Path::is_component(name) && !self.names.contains_key(*name));
        wanted.filter(|name| self.start_after.is_none_or(|start| *name > start)).map(str::to_owned).collect()
    }

    fn page(self, limit: usize) -> Page {
        let more = self.names.len() > limit;
        let entries = self.names.into_iter().take(limit).map(|(name, info)| Entry { name, info });
        Page { entries: entries.collect(), more }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The names in a bucket's order, folders with their slash.
    type Keys = BTreeSet<String>;

    /// What the driver would list from a bucket that gives `chunk` keys at a time.
    fn list(keys: &Keys, start_after: Option<&str>, limit: usize, chunk: usize) -> Vec<String> {
        let mut names = Names { start_after, names: BTreeMap::new(), last: String::new() };
        let after = |key: &&String| start_after.is_none_or(|start| key.as_str() > start);
        for key in keys.iter().filter(after) {
            names.add(key, Info::Prefix);
            if names.names.len() > limit && names.names.len().is_multiple_of(chunk) {
                for name in names.late().into_iter().filter(|name| keys.contains(&format!("{name}/"))) {
                    names.names.insert(name, Info::Prefix);
                }
                break;
            }
        }
        names.page(limit).entries.into_iter().map(|entry| entry.name).collect()
    }

    proptest! {
        #[test]
        fn pages_come_in_order_and_miss_nothing(
            names in proptest::collection::btree_set("[a1.-]{1,4}", 0..40),
            limit in 1..6usize,
            chunk in 1..4usize,
        ) {
            let names: BTreeSet<String> = names.into_iter().filter(|name| Path::is_component(name)).collect();
            let keys: Keys = names.iter().map(|name| format!("{name}/")).collect();
            let (mut seen, mut after) = (Vec::new(), None::<String>);
            loop {
                let page = list(&keys, after.as_deref(), limit, chunk);
                let Some(last) = page.last() else { break };
                after = Some(last.clone());
                seen.extend(page);
            }
            prop_assert_eq!(seen, names.into_iter().collect::<Vec<_>>());
        }
    }
}
