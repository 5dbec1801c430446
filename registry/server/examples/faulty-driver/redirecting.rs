//! A store in memory that has clients fetch content from somewhere else, as one with signed URLs does.

use std::time::Duration;

use driver_kit::{
    Bytes, Capabilities, Content, Info, Page, Parameters, Path, ReadRange, RedirectMethod, Result, StorageDriver,
};
use driver_memory::Memory;

pub(crate) struct Redirecting(Memory);

impl StorageDriver for Redirecting {
    const NAME: &'static str = "redirecting";

    type Session = <Memory as StorageDriver>::Session;

    async fn configure(parameters: &mut Parameters) -> Result<Self> {
        Memory::configure(parameters).await.map(Redirecting)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { redirect: true, ..self.0.capabilities() }
    }

    /// Small content it leaves to the registry.
    async fn redirect_url(
        &self,
        path: &Path,
        method: RedirectMethod,
        expires_in: Duration,
        client_address: Option<&str>,
    ) -> Result<Option<String>> {
        let (_, content) = self.0.get(path, usize::MAX).await?;
        let (seconds, client) = (expires_in.as_secs(), client_address.unwrap_or("nobody"));
        let query = format!("method={method:?}&seconds={seconds}&client={client}&signature=secret");
        Ok((content.len() > 10).then(|| format!("https://store.example{path}?{query}")))
    }

    async fn stat(&self, path: &Path) -> Result<Info> {
        self.0.stat(path).await
    }

    async fn get(&self, path: &Path, max: usize) -> Result<(Info, Bytes)> {
        self.0.get(path, max).await
    }

    async fn put(&self, path: &Path, content: Bytes, if_absent: bool) -> Result<Info> {
        self.0.put(path, content, if_absent).await
    }

    async fn read(&self, path: &Path, range: ReadRange, if_version: Option<&str>) -> Result<Content> {
        self.0.read(path, range, if_version).await
    }

    async fn list(&self, path: &Path, start_after: Option<&str>, limit: usize) -> Result<Page> {
        self.0.list(path, start_after, limit).await
    }

    async fn rename(&self, source: &Path, target: &Path) -> Result<Info> {
        self.0.rename(source, target).await
    }

    async fn delete(&self, path: &Path, recursive: bool) -> Result<()> {
        self.0.delete(path, recursive).await
    }

    async fn open(&self, path: &Path, offset: u64, target: Option<&Path>) -> Result<Self::Session> {
        self.0.open(path, offset, target).await
    }

    async fn commit(
        &self,
        path: &Path,
        session: Option<&mut Self::Session>,
        target: &Path,
        size: u64,
        if_absent: bool,
    ) -> Result<Info> {
        self.0.commit(path, session, target, size, if_absent).await
    }
}
