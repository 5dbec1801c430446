//! [`Store`]: a driver that is configured once and then serves, and the answer until then.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::capabilities::Capabilities;
use crate::driver::StorageDriver;
use crate::error::{Error, ErrorKind, Result};
use crate::parameters::Parameters;
use crate::sessions::Sessions;

/// Who configured a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The registry, through Configure.
    Registry,
    /// The operator of an attached driver: Configure without parameters then asks for its capabilities.
    Operator,
}

/// The one store of this process.
pub(crate) struct Store<D: StorageDriver> {
    opened: OnceCell<Arc<Opened<D>>>,
    /// There is a socket over which descriptors can be had.
    has_descriptor_socket: bool,
}

/// A store that serves.
pub(crate) struct Opened<D: StorageDriver> {
    pub(crate) driver: D,
    pub(crate) capabilities: Capabilities,
    pub(crate) sessions: Sessions<D::Session>,
    parameters: BTreeMap<String, String>,
    origin: Origin,
}

impl<D: StorageDriver> Store<D> {
    pub(crate) fn new(has_descriptor_socket: bool) -> Self {
        Store { opened: OnceCell::new(), has_descriptor_socket }
    }

    /// Opens the store, or compares with the parameters it was opened with. Of two at once the second waits; a failed
    /// or abandoned attempt leaves nothing behind.
    pub(crate) async fn configure(&self, parameters: BTreeMap<String, String>, origin: Origin) -> Result<Capabilities> {
        let open = || Opened::new(parameters.clone(), origin, self.has_descriptor_socket);
        let opened = self.opened.get_or_try_init(open).await?;
        opened.check_same(&parameters)?;
        Ok(opened.capabilities.clone())
    }

    pub(crate) fn opened(&self) -> Result<&Arc<Opened<D>>> {
        self.opened.get().ok_or_else(|| Error::new(ErrorKind::NotConfigured, "the driver is not configured yet"))
    }

    /// The store, if it takes changes.
    pub(crate) fn writable(&self) -> Result<&Arc<Opened<D>>> {
        let opened = self.opened()?;
        if opened.capabilities.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "this store takes no changes"));
        }
        Ok(opened)
    }
}

impl<D: StorageDriver> Opened<D> {
    /// What a driver can do and nobody can ask it for is not declared.
    async fn new(values: BTreeMap<String, String>, origin: Origin, has_descriptor_socket: bool) -> Result<Arc<Self>> {
        let mut parameters = Parameters::new(values.clone());
        let driver = D::configure(&mut parameters).await?;
        parameters.finish()?;
        let mut capabilities = driver.capabilities();
        capabilities.descriptors &= has_descriptor_socket;
        capabilities.write_descriptors &= has_descriptor_socket;
        Ok(Arc::new(Opened { driver, capabilities, sessions: Sessions::new(), parameters: values, origin }))
    }

    fn check_same(&self, parameters: &BTreeMap<String, String>) -> Result<()> {
        let asks_only = parameters.is_empty() && self.origin == Origin::Operator;
        if asks_only || *parameters == self.parameters {
            return Ok(());
        }
        let message = "the driver is configured already, with other parameters; start it again to change them";
        Err(Error::new(ErrorKind::ConfigInvalid, message))
    }

    /// `if_absent` is honoured or refused, never ignored.
    pub(crate) fn check_if_absent(&self, wanted: bool) -> Result<()> {
        if wanted && !self.capabilities.if_absent {
            return Err(Error::new(ErrorKind::Unsupported, "this store does not offer if_absent"));
        }
        Ok(())
    }
}
