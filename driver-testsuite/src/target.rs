//! [`Target`]: the driver that is judged, and how the suite comes to it.

use std::path::PathBuf;

use crate::client::Client;
use crate::journal::Journal;
use crate::launch::Launch;
use crate::packets;
use crate::process::{Driver, StartError, connect};

/// The driver that a run judges.
#[derive(Clone)]
pub enum Target {
    /// An executable. Only such a driver can be killed, and so judged whole.
    Spawned(Launch),
    /// A driver that somebody else runs and has configured, at this socket: another program, or the one that asks.
    Attached(PathBuf),
}

impl From<Launch> for Target {
    fn from(launch: Launch) -> Self {
        Target::Spawned(launch)
    }
}

impl Target {
    /// How a person names it.
    pub fn name(&self) -> String {
        match self {
            Target::Spawned(launch) => launch.command_line(),
            Target::Attached(socket) => format!("unix:{}", socket.display()),
        }
    }

    /// The options of the program that name it, with no value of a parameter that may be secret.
    pub(crate) fn options(&self) -> String {
        match self {
            Target::Spawned(launch) => launch.options(),
            Target::Attached(_) => format!("--attach={}", shell_words::quote(&self.name())),
        }
    }

    /// Whether the store that cases share is also the one that processes of a case open.
    pub(crate) fn stores_are_one(&self) -> bool {
        matches!(self, Target::Spawned(launch) if !launch.is_isolated())
    }

    /// The driver that cases share, with a caller of it. The driver lives as long as the first of the two.
    pub(crate) async fn open(
        &self,
        root: &str,
        seed: u64,
        journal: Journal,
    ) -> Result<(Option<Driver>, Client), StartError> {
        let socket = match self {
            Target::Spawned(launch) => {
                let driver = Driver::start(&launch.for_case(root.to_owned(), seed, journal)).await?;
                let client = driver.configured().await?;
                return Ok((Some(driver), client));
            }
            Target::Attached(socket) => socket,
        };
        let (calls, streams) = (connect(socket).await?, connect(socket).await?);
        let client = Client::new(calls, streams, root.to_owned(), seed, journal);
        let client = client.with_descriptor_socket(packets::beside(socket));
        let capabilities = client.configure(Default::default()).await;
        let capabilities = capabilities.map_err(|status| StartError::Configure(Box::new(status)))?;
        Ok((None, client.with_capabilities(capabilities)))
    }
}
