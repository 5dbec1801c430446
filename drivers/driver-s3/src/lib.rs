//! A store in a bucket of S3, or of a server that speaks it: every path is an object, write sessions are multipart uploads.
//!
//! [`S3`] is what the kit calls; it does nothing but pass each call on to [`store::Store`], whose work stands in the modules
//! named after the calls. What the driver promises, and what it costs, stands in the README beside.

mod bucket;
mod client;
mod commit;
mod copy;
mod delete;
mod error;
mod list;
mod moves;
mod opening;
mod parts;
mod probe;
mod read;
mod records;
mod session;
mod settings;
mod store;
mod sweep;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use driver_kit::{
    Bytes, Capabilities, Content, Durability, Info, Page, Parameters, Path, ReadRange, RedirectMethod, Result,
    StorageDriver, flat,
};

use crate::bucket::Bucket;
use crate::error::halfway;
pub use crate::session::Session;
use crate::settings::Settings;
use crate::store::Store;

/// The driver, configured.
pub struct S3 {
    store: Arc<Store>,
    read_only: bool,
    if_absent: bool,
}

impl StorageDriver for S3 {
    const NAME: &'static str = "s3";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ENVIRONMENT: &'static [&'static str] = client::ENVIRONMENT;

    type Session = Session;

    async fn configure(parameters: &mut Parameters) -> Result<Self> {
        let settings = Settings::take(parameters)?;
        let client = client::connect(&settings.server, &settings.credentials).await?;
        let signer = client::for_redirects(&client, &settings.server);
        let bucket = Bucket::new(client, signer, &settings);
        let store = Arc::new(Store::new(bucket, &settings.root, settings.part, settings.copies));
        store.check_bucket().await?;
        let if_absent = !settings.read_only && store.heeds_conditions().await?;
        if let Some(age) = settings.upload_age.filter(|_| !settings.read_only) {
            let swept = Arc::clone(&store);
            flat::sweep_every_day(move || {
                let store = Arc::clone(&swept);
                async move { store.sweep(age).await }
            });
        }
        Ok(S3 { store, read_only: settings.read_only, if_absent })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            granularity: self.store.part,
            shared: true,
            read_only: self.read_only,
            if_absent: self.if_absent,
            redirect: true,
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
        flat::page(&self.store.bucket, &self.store.keys.below(path), start_after, limit).await
    }

    async fn rename(&self, source: &Path, target: &Path) -> Result<Info> {
        // The SDK's requests are large, and so are the futures of what makes several.
        Box::pin(self.store.rename(source, target)).await.map_err(halfway)
    }

    async fn delete(&self, path: &Path, recursive: bool) -> Result<()> {
        self.store.delete(path, recursive).await.map_err(halfway)
    }

    async fn redirect_url(
        &self,
        path: &Path,
        method: RedirectMethod,
        expires_in: Duration,
        _client_address: Option<&str>,
    ) -> Result<Option<String>> {
        let key = self.store.keys.content(path);
        self.store.bucket.sign(&key, method, expires_in).await.map(Some)
    }

    async fn open(&self, path: &Path, offset: u64, target: Option<&Path>) -> Result<Session> {
        self.store.open(path, offset, target).await
    }

    async fn commit(
        &self,
        path: &Path,
        session: Option<&mut Session>,
        target: &Path,
        size: u64,
        if_absent: bool,
    ) -> Result<Info> {
        Box::pin(self.store.commit(path, session, target, size, if_absent)).await.map_err(halfway)
    }
}
