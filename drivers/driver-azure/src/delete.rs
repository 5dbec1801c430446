//! Delete: content, trees of it, and the write sessions there.

use driver_kit::flat::{Keys, PageRequest};
use driver_kit::{Error, ErrorKind, Path, Result};
use futures::try_join;

use crate::records::Kept;
use crate::store::{SESSIONS, Store};

/// Keys of one page.
const PAGE: usize = 1000;

impl Store {
    pub(crate) async fn delete(&self, path: &Path, recursive: bool) -> Result<()> {
        let key = self.keys.content(path);
        if recursive {
            // The sessions first: what one of them publishes meanwhile is then deleted with the rest.
            self.end_sessions_at_or_below(path).await?;
            self.container.delete(&key).await?;
            return self.delete_below(&self.keys.below(path)).await;
        }
        let (had_content, had_session) = try_join!(self.container.delete(&key), self.end_session(path))?;
        if !had_content && !had_session && self.container.has_any(&self.keys.below(path)).await? {
            return Err(Error::new(ErrorKind::PathConflict, "there is content below this path"));
        }
        Ok(())
    }

    async fn delete_below(&self, prefix: &str) -> Result<()> {
        let mut marker = None;
        loop {
            let page = PageRequest { prefix, token: marker.as_deref(), limit: PAGE, ..PageRequest::default() };
            let listed = self.container.list(&page).await?;
            let keys: Vec<String> = listed.objects.into_iter().map(|(key, _)| key).collect();
            self.container.delete_all(&keys).await?;
            marker = listed.next;
            if marker.is_none() {
                return Ok(());
            }
        }
    }

    /// Whether there was one.
    async fn end_session(&self, path: &Path) -> Result<bool> {
        let mut had_session = false;
        while let Some(kept) = self.record(path).await? {
            had_session = true;
            if self.end(path, &kept).await? {
                break;
            }
        }
        Ok(had_session)
    }

    /// Takes away a session, unless its record has changed since; whether it did.
    pub(crate) async fn end(&self, path: &Path, kept: &Kept) -> Result<bool> {
        // Without the record its writers are fenced. Then its blocks can go.
        if !self.delete_record(path, &kept.etag).await? {
            return Ok(false);
        }
        if let Some(key) = &kept.record.key {
            self.give_up_blocks(key).await?;
        }
        Ok(true)
    }

    async fn end_sessions_at_or_below(&self, path: &Path) -> Result<()> {
        let prefix = self.keys.own_below(SESSIONS, path);
        let mut marker = None;
        loop {
            let page = PageRequest { prefix: &prefix, token: marker.as_deref(), limit: PAGE, ..PageRequest::default() };
            let listed = self.container.list(&page).await?;
            for (key, _) in &listed.objects {
                self.end_if_at_or_below(path, key).await?;
            }
            if Keys::own_is_at_or_below(path) {
                // What a Commit left that died between its steps.
                let keys: Vec<String> = listed.objects.into_iter().map(|(key, _)| key).collect();
                self.container.delete_all(&keys).await?;
            }
            marker = listed.next;
            if marker.is_none() {
                return Ok(());
            }
        }
    }

    /// Ends the session whose record is at `key`, which long paths may share with others.
    async fn end_if_at_or_below(&self, path: &Path, key: &str) -> Result<()> {
        while let Some(kept) = self.record_at(key).await? {
            let staging = Path::parse(&kept.record.path).ok();
            let Some(staging) = staging.filter(|staging| staging == path || staging.is_below(path)) else { break };
            if self.end(&staging, &kept).await? {
                break;
            }
        }
        Ok(())
    }
}
