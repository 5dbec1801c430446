//! Delete: content, trees of it, and the write sessions there.

use driver_kit::flat::{Keys, PageRequest};
use driver_kit::{Error, ErrorKind, Path, Result};
use futures::try_join;

use crate::records::Claim;
use crate::store::{SESSIONS, Store};

/// Keys of one page.
const PAGE: usize = 1000;

impl Store {
    pub(crate) async fn delete(&self, path: &Path, recursive: bool) -> Result<()> {
        let key = self.keys.content(path);
        if !recursive {
            let own = self.keys.own(SESSIONS, path);
            let ((), has_session) = try_join!(self.check_no_prefix(path, &key), self.bucket.has_any(&own))?;
            if has_session {
                self.end_sessions(path, &own).await?;
            }
            return self.bucket.delete(&key).await;
        }
        // The sessions first: what one of them publishes meanwhile is then deleted with the rest.
        self.end_sessions(path, &self.keys.own_below(SESSIONS, path)).await?;
        self.bucket.delete(&key).await?;
        self.delete_below(&self.keys.below(path)).await
    }

    async fn check_no_prefix(&self, path: &Path, key: &str) -> Result<()> {
        if self.bucket.has_any(&self.keys.below(path)).await? && self.bucket.head(key).await?.is_none() {
            return Err(Error::new(ErrorKind::PathConflict, "there is content below this path"));
        }
        Ok(())
    }

    async fn delete_below(&self, prefix: &str) -> Result<()> {
        let mut token = None;
        loop {
            let page = PageRequest { prefix, token: token.as_deref(), limit: PAGE, ..PageRequest::default() };
            let listed = self.bucket.list(&page).await?;
            let keys: Vec<String> = listed.objects.into_iter().map(|(key, _)| key).collect();
            self.bucket.delete_all(&keys).await?;
            token = listed.next;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    /// Ends the sessions whose keys begin with `prefix`. Their claims go before another look shows that nothing came after
    /// them: who wrote a lease before finds its claim gone, or is found.
    async fn end_sessions(&self, path: &Path, prefix: &str) -> Result<()> {
        loop {
            let listed = self.bucket.list_few(prefix).await?;
            let keys = self.sessions_at_or_below(path, listed.into_iter().map(|(key, _)| key).collect()).await?;
            if keys.is_empty() {
                return Ok(());
            }
            for upload in self.uploads_of(&keys).await? {
                self.bucket.abort(&upload).await?;
            }
            self.bucket.delete_all(&keys).await?;
        }
    }

    /// Of keys that long paths may share, those that belong to `path` and what is below it.
    async fn sessions_at_or_below(&self, path: &Path, keys: Vec<String>) -> Result<Vec<String>> {
        if Keys::own_is_at_or_below(path) {
            return Ok(keys);
        }
        let mut folders = Vec::new();
        for key in &keys {
            let Some(Claim { path: staging, .. }) = self.claim_at(key).await? else { continue };
            if Path::parse(&staging).is_ok_and(|staging| staging == *path || staging.is_below(path)) {
                folders.push(folder(key).to_owned());
            }
        }
        Ok(keys.into_iter().filter(|key| folders.iter().any(|doomed| doomed == folder(key))).collect())
    }
}

fn folder(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(folder, _)| folder)
}
