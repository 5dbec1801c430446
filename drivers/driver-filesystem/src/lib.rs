//! A store in a folder of the host: every path is a file, every acknowledged change survives the loss of power.
//!
//! [`Filesystem`] is what the kit calls; it does nothing but carry each call to the pool. The work is in [`store`] and in the
//! modules named after the calls, all of it plain blocking code. What the driver promises stands in the README beside.

mod claims;
mod commit;
mod delete;
mod entries;
mod error;
mod folders;
mod handover;
mod hardened;
mod info;
mod list;
mod lock;
mod marker;
mod names;
mod pool;
mod positional;
mod put;
mod read;
mod root;
mod session;
mod settings;
mod staged;
mod store;
mod sync;
mod tree;
mod workspace;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use driver_kit::{
    Bytes, Capabilities, Content, Durability, Info, Page, Parameters, Path, ReadRange, Result, StorageDriver,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::commit::Terms;
use crate::pool::{Pool, Stop};
pub use crate::session::Session;
use crate::settings::Settings;
use crate::store::Store;

/// Most descriptors one piece of work has open at once, generously.
const FILES_PER_THREAD: u64 = 8;
/// Most descriptors one open session or read keeps.
const FILES_PER_STREAM: u64 = 2;
/// Descriptors for connections and whatever else the process has open.
const FILES_ELSEWHERE: u64 = 256;
/// More streams than this would run out of memory before they ran out of descriptors.
const STREAMS_MAX: u64 = 100_000;
const STREAMS_MIN: u64 = 32;

/// The driver, configured.
pub struct Filesystem {
    store: Arc<Store>,
    pool: Pool,
}

impl StorageDriver for Filesystem {
    const NAME: &'static str = "filesystem";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    type Session = Session;

    async fn configure(parameters: &mut Parameters) -> Result<Self> {
        let settings = Settings::take(parameters)?;
        let pool = Pool::new(settings.threads, streams(settings.threads));
        let store = pool.run(move |_| Store::open(settings)).await?;
        let driver = Filesystem { store: Arc::new(store), pool };
        driver.sweep_in_background();
        Ok(driver)
    }

    fn capabilities(&self) -> Capabilities {
        let settings = &self.store.settings;
        Capabilities {
            shared: settings.may_be_written_by_others(),
            read_only: settings.read_only,
            if_absent: self.store.writer().is_ok_and(|writer| writer.can_rename_without_replacing),
            descriptors: self.store.hands_over(),
            write_descriptors: self.store.hands_out(),
            ..Capabilities::new(Durability::Power)
        }
    }

    async fn probe(&self) -> Result<()> {
        self.run(|store, _| store.probe()).await
    }

    async fn stat(&self, path: &Path) -> Result<Info> {
        let path = path.clone();
        self.run(move |store, _| store.stat(&path)).await
    }

    async fn get(&self, path: &Path, max: usize) -> Result<(Info, Bytes)> {
        let path = path.clone();
        self.run(move |store, _| store.get(&path, max)).await
    }

    async fn put(&self, path: &Path, content: Bytes, if_absent: bool) -> Result<Info> {
        let path = path.clone();
        self.run(move |store, _| store.put(&path, content, if_absent)).await
    }

    async fn read(&self, path: &Path, range: ReadRange, if_version: Option<&str>) -> Result<Content> {
        let (path, version) = (path.clone(), if_version.map(str::to_owned));
        let permit = self.pool.file().await?;
        let (info, reader) = self.run(move |store, _| store.open_reader(&path, range, version.as_deref())).await?;
        Ok(Content { info, stream: reader.stream(self.pool.clone(), permit) })
    }

    async fn descriptor(&self, path: &Path, if_version: Option<&str>) -> Result<(Info, OwnedFd)> {
        let (path, version) = (path.clone(), if_version.map(str::to_owned));
        self.run(move |store, _| store.hand_over(&path, version.as_deref())).await
    }

    async fn list(&self, path: &Path, start_after: Option<&str>, limit: usize) -> Result<Page> {
        let (path, after) = (path.clone(), start_after.map(str::to_owned));
        self.run(move |store, stop| store.list(&path, after.as_deref(), limit, stop)).await
    }

    async fn rename(&self, source: &Path, target: &Path) -> Result<Info> {
        let (source, target) = (source.clone(), target.clone());
        self.run(move |store, _| store.rename(&source, &target)).await
    }

    async fn delete(&self, path: &Path, recursive: bool) -> Result<()> {
        let path = path.clone();
        self.run(move |store, stop| store.delete(&path, recursive, stop)).await
    }

    async fn open(&self, path: &Path, offset: u64, _target: Option<&Path>) -> Result<Session> {
        let path = path.clone();
        let permit = self.pool.file().await?;
        let staged = self.run(move |store, _| store.open_staged(&path, offset)).await?;
        Ok(Session::new(staged, offset, self.pool.clone(), permit))
    }

    async fn open_descriptor(&self, path: &Path, offset: u64, _target: Option<&Path>) -> Result<OwnedFd> {
        let path = path.clone();
        self.run(move |store, _| store.hand_out_staged(&path, offset)).await
    }

    async fn commit(
        &self,
        path: &Path,
        session: Option<&mut Session>,
        target: &Path,
        size: u64,
        if_absent: bool,
    ) -> Result<Info> {
        let (path, target) = (path.clone(), target.clone());
        let terms = Terms { size, if_absent, is_synced: session.is_some_and(|session| session.is_synced()) };
        self.run(move |store, _| store.commit(&path, &target, terms)).await
    }
}

impl Filesystem {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Store>, &Stop) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(&self.store);
        self.pool.run(move |stop| work(&store, stop)).await
    }

    /// What the dead left may be much, and nobody needs to wait for it to go.
    fn sweep_in_background(&self) {
        let (store, pool) = (Arc::clone(&self.store), self.pool.clone());
        tokio::spawn(async move {
            if let Err(problem) = pool.run(move |stop| store.sweep(stop)).await {
                tracing::warn!(%problem, "what an earlier process left behind could not be removed");
            }
        });
    }
}

/// How many reads and sessions may be open at once, after this process has been given all the descriptors it may have.
fn streams(threads: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    // When it is refused the driver works with fewer.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    let kept = FILES_ELSEWHERE + FILES_PER_THREAD * threads as u64;
    let streams = files.unwrap_or(u64::MAX).saturating_sub(kept) / FILES_PER_STREAM;
    usize::try_from(streams.clamp(STREAMS_MIN, STREAMS_MAX)).unwrap_or(STREAMS_MIN as usize)
}
