//! A store in a container of Azure Blob Storage: every path is an object, write sessions are blocks.
//!
//! [`Azure`] is what the kit calls; it does nothing but pass each call on to [`store::Store`], whose work stands in the
//! modules named after the calls. What the driver promises, and what it costs, stands in the README beside.

mod blocks;
mod client;
mod commit;
mod connection_string;
mod container;
mod copy;
mod delete;
mod error;
mod identity;
mod list;
mod listing;
mod moves;
mod opening;
mod patience;
mod probe;
mod read;
mod records;
mod sender;
mod session;
mod settings;
mod shared_key;
mod sign;
mod store;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use driver_kit::{
    Bytes, Capabilities, Content, Durability, Info, Page, Parameters, Path, ReadRange, RedirectMethod, Result,
    StorageDriver, flat,
};

use crate::container::Container;
pub use crate::session::Session;
use crate::settings::Settings;
use crate::store::Store;

/// The driver, configured.
pub struct Azure {
    store: Arc<Store>,
    read_only: bool,
    redirect: bool,
}

impl StorageDriver for Azure {
    const NAME: &'static str = "azure";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ENVIRONMENT: &'static [&'static str] = identity::ENVIRONMENT;

    type Session = Session;

    async fn configure(parameters: &mut Parameters) -> Result<Self> {
        let settings = Settings::take(parameters)?;
        let container = Container::new(&settings)?;
        container.check().await?;
        container.check_flat().await?;
        let keys = container.keys(&settings).await?;
        let redirect = container.clients.signer.can_sign().await?;
        let store = Arc::new(Store::new(container, keys, settings.part, settings.copies));
        if let Some(age) = settings.upload_age.filter(|_| !settings.read_only) {
            let swept = Arc::clone(&store);
            flat::sweep_every_day(move || {
                let store = Arc::clone(&swept);
                async move { store.sweep(age).await }
            });
        }
        Ok(Azure { store, read_only: settings.read_only, redirect })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            granularity: self.store.part,
            shared: true,
            read_only: self.read_only,
            if_absent: true,
            redirect: self.redirect,
            commit_copies: true,
            ..Capabilities::new(Durability::Power)
        }
    }

    async fn probe(&self) -> Result<()> {
        self.store.probe().await
    }

    async fn stat(&self, path: &Path) -> Result<Info> {
        self.store.stat(path).await
    }

    async fn get(&self, path: &Path, max: usize) -> Result<(Info, Bytes)> {
        self.store.get(path, max).await
    }

    async fn put(&self, path: &Path, content: Bytes, if_absent: bool) -> Result<Info> {
        self.store.put(path, content, if_absent).await
    }

    async fn read(&self, path: &Path, range: ReadRange, if_version: Option<&str>) -> Result<Content> {
        flat::read(&self.store, self.store.keys.content(path), range, if_version).await
    }

    async fn list(&self, path: &Path, start_after: Option<&str>, limit: usize) -> Result<Page> {
        flat::page(&self.store.container, &self.store.keys.below(path), start_after, limit).await
    }

    async fn rename(&self, source: &Path, target: &Path) -> Result<Info> {
        // The client library's requests are large, and so are the futures of what makes several.
        Box::pin(self.store.rename(source, target)).await
    }

    async fn delete(&self, path: &Path, recursive: bool) -> Result<()> {
        Box::pin(self.store.delete(path, recursive)).await
    }

    async fn redirect_url(
        &self,
        path: &Path,
        _method: RedirectMethod,
        expires_in: Duration,
        _client_address: Option<&str>,
    ) -> Result<Option<String>> {
        self.store.container.sign(&self.store.keys.content(path), expires_in).await
    }

    async fn open(&self, path: &Path, offset: u64, target: Option<&Path>) -> Result<Session> {
        Box::pin(self.store.open(path, offset, target)).await
    }

    async fn commit(
        &self,
        path: &Path,
        session: Option<&mut Session>,
        target: &Path,
        size: u64,
        if_absent: bool,
    ) -> Result<Info> {
        Box::pin(self.store.commit(path, session, target, size, if_absent)).await
    }
}
