//! What the container has and can do, found out when the store is opened.

use driver_kit::flat::{Keys, PageRequest};
use driver_kit::{Error, ErrorKind, Result, invalid};

use crate::container::{Container, header};
use crate::settings::Settings;
use crate::store::Store;

impl Store {
    /// The server answers, and lets the driver in.
    pub(crate) async fn probe(&self) -> Result<()> {
        self.container.probe(self.keys.root()).await
    }
}

impl Container {
    async fn probe(&self, prefix: &str) -> Result<()> {
        self.list(&PageRequest { prefix, limit: 1, ..PageRequest::default() }).await.map(drop)
    }

    /// The container is there and can be listed, in the words of who configures it.
    pub(crate) async fn check(&self) -> Result<()> {
        self.probe("").await.map_err(|error| match error.kind() {
            ErrorKind::Unavailable { .. } if error.to_string().contains("container") => {
                invalid("container", "names a container that does not exist").with_source(error)
            }
            _ => error,
        })
    }

    /// Where folders are things, keys are listed in another order, and empty folders show. Who may not ask is believed.
    pub(crate) async fn check_flat(&self) -> Result<()> {
        let Ok(account) = self.clients.container.get_account_info(None).await else { return Ok(()) };
        if header(account.headers(), "x-ms-is-hns-enabled") != Some("true") {
            return Ok(());
        }
        Err(invalid("accountname", "names an account with a hierarchical namespace: use one without"))
    }

    /// The keys of the store: with a slash before the root, as older releases of distribution wrote them, where it is said
    /// or where what is there begins so.
    pub(crate) async fn keys(&self, settings: &Settings) -> Result<Keys> {
        let plain = Keys::new(&settings.root);
        let slashed = Keys::beginning_with(&format!("/{}", plain.root()));
        match settings.leading_slash {
            Some(true) => return Ok(slashed),
            Some(false) => return Ok(plain),
            None => {}
        }
        if !self.has_any(slashed.root()).await? {
            return Ok(plain);
        }
        if self.has_plain(plain.root()).await? {
            let message = "there are keys that begin with a slash, as older releases of distribution wrote them, and keys \
                that do not: move one kind away, or say with the parameter legacyrootprefix which one is the store";
            return Err(Error::new(ErrorKind::ConfigInvalid, message));
        }
        tracing::info!("the keys of this store begin with a slash, as older releases of distribution wrote them");
        Ok(slashed)
    }

    /// Whether any key below `root` does not begin with a slash there.
    async fn has_plain(&self, root: &str) -> Result<bool> {
        let mut marker = None;
        loop {
            let page = PageRequest {
                prefix: root,
                delimited: true,
                token: marker.as_deref(),
                limit: 1000,
                ..PageRequest::default()
            };
            let listed = self.list(&page).await?;
            let slash = format!("{root}/");
            let mut keys = listed.prefixes.iter().chain(listed.objects.iter().map(|(key, _)| key));
            if keys.any(|key| *key != slash) {
                return Ok(true);
            }
            marker = listed.next;
            if marker.is_none() {
                return Ok(false);
            }
        }
    }
}
