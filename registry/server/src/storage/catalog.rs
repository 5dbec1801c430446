//! [`Catalog`]: which repositories there are.
//!
//! A repository is not made or deleted by anyone: it is there while something is kept in it. The catalog lists those with
//! a manifest, in the order of their names compared component by component, a repository before those below it. A page
//! costs what it returns, since the walk goes down to where the last page ended and passes over all before it unseen.

use std::collections::VecDeque;

use oci::RepositoryName;

use crate::driver::{DriverClient, DriverErrorKind};

use super::error::{Found, StorageError};
use super::layout;
use super::page::Page;

/// How many names are fetched at once from one folder.
const LISTING: usize = 100;

/// The repositories of the store.
#[derive(Clone)]
pub(crate) struct Catalog {
    driver: DriverClient,
}

impl Catalog {
    pub(super) fn new(driver: DriverClient) -> Self {
        Catalog { driver }
    }

    /// At most `limit` repositories after `after`, which need not exist.
    pub(crate) async fn list(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StorageError> {
        let mut descent = Descent::after(after);
        let mut names = Vec::new();
        while let Some(name) = descent.next(&self.driver).await? {
            if !self.has_manifests(&name).await? {
                continue;
            }
            if names.len() == limit {
                return Ok(Page { items: names, more: true });
            }
            names.push(name);
        }
        Ok(Page { items: names, more: false })
    }

    /// Whether anything is kept in a repository, be it only an upload.
    pub(crate) async fn contains(&self, name: &RepositoryName) -> Result<bool, StorageError> {
        let page = self.driver.list(&layout::repositories(Some(name)), Some(layout::RESERVED), 1).await?;
        Ok(page.entries.iter().any(|entry| entry.name.starts_with(layout::RESERVED)))
    }

    async fn has_manifests(&self, name: &RepositoryName) -> Result<bool, StorageError> {
        let info = or_none_if_closed(self.driver.stat(&layout::manifests(name)).await.found(), Some(name))?.flatten();
        Ok(info.is_some_and(|info| info.is_prefix))
    }
}

/// A walk over all folders that could be repositories, depth first. Only names that can be names of repositories are
/// entered, so their length bounds its depth.
pub(super) struct Descent {
    /// From the root downwards.
    folders: Vec<Folder>,
}

impl Descent {
    /// Begins behind the folder `after`, with those below it.
    pub(super) fn after(after: Option<&RepositoryName>) -> Self {
        let mut folders = Vec::new();
        let mut above = None;
        for component in after.into_iter().flat_map(|name| name.as_str().split('/')) {
            let below = layout::repository_child(above.as_ref(), component);
            folders.push(Folder::new(above, Some(component.to_owned())));
            above = below;
        }
        folders.push(Folder::new(above, None));
        Descent { folders }
    }

    pub(super) async fn next(&mut self, driver: &DriverClient) -> Result<Option<RepositoryName>, StorageError> {
        while let Some(folder) = self.folders.last_mut() {
            if let Some(name) = folder.next(driver).await? {
                self.folders.push(Folder::new(Some(name.clone()), None));
                return Ok(Some(name));
            }
            self.folders.pop();
        }
        Ok(None)
    }
}

/// `None` where the store lets nobody look: one repository that is closed must not keep all others from being seen.
fn or_none_if_closed<T>(
    outcome: Result<T, StorageError>,
    name: Option<&RepositoryName>,
) -> Result<Option<T>, StorageError> {
    match (outcome, name) {
        (Err(StorageError::Driver(error)), Some(name)) if error.kind() == DriverErrorKind::AccessDenied => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(repository = %name, error, "a repository is passed over");
            Ok(None)
        }
        (outcome, _) => outcome.map(Some),
    }
}

/// The names in one folder, fetched as they are wanted.
struct Folder {
    name: Option<RepositoryName>,
    after: Option<String>,
    fetched: VecDeque<RepositoryName>,
    exhausted: bool,
}

impl Folder {
    fn new(name: Option<RepositoryName>, after: Option<String>) -> Self {
        Folder { name, after, fetched: VecDeque::new(), exhausted: false }
    }

    async fn next(&mut self, driver: &DriverClient) -> Result<Option<RepositoryName>, StorageError> {
        while self.fetched.is_empty() && !self.exhausted {
            self.fetch(driver).await?;
        }
        Ok(self.fetched.pop_front())
    }

    async fn fetch(&mut self, driver: &DriverClient) -> Result<(), StorageError> {
        let below = self.name.as_ref();
        let listed = driver.list(&layout::repositories(below), self.after.as_deref(), LISTING).await;
        let Some(page) = or_none_if_closed(listed.map_err(StorageError::from), below)? else {
            self.exhausted = true;
            return Ok(());
        };
        self.fetched.extend(page.entries.iter().filter_map(|entry| layout::repository_child(below, &entry.name)));
        self.exhausted = !page.more;
        self.after = page.entries.into_iter().last().map(|entry| entry.name);
        Ok(())
    }
}
