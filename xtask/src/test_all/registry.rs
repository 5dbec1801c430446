//! `bulkhead serve` as a process, on a free port, with a store of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::{Server, server};
use super::workshop::Workshop;
use crate::Outcome;

const START_LIMIT: Duration = Duration::from_secs(30);

/// One registry: its store, its log, and the driver it runs over, also from one start to the next.
pub(super) struct Site {
    bulkhead: PathBuf,
    folder: PathBuf,
    log: PathBuf,
    /// What the registry is configured with; `None`: nothing, but the folder of its data.
    configuration: Option<String>,
    settings: Vec<(&'static str, &'static str)>,
}

impl Site {
    /// An empty store in a new folder.
    pub(super) fn new(workshop: &Workshop, purpose: &str, driver: &'static str) -> Outcome<Site> {
        let configuration = format!("version: 0.1\nstorage:\n  {driver}: {{}}\n");
        Self::make(workshop, purpose, (driver != "filesystem").then_some(configuration))
    }

    /// With a configuration of its own.
    pub(super) fn configured(workshop: &Workshop, purpose: &str, configuration: String) -> Outcome<Site> {
        Self::make(workshop, purpose, Some(configuration))
    }

    fn make(workshop: &Workshop, purpose: &str, configuration: Option<String>) -> Outcome<Site> {
        let (bulkhead, log) = (workshop.bulkhead.clone(), workshop.log(purpose));
        Ok(Site { bulkhead, folder: workshop.folder(purpose)?, log, configuration, settings: Vec::new() })
    }

    /// With a setting beside the usual ones, by the name of its environment variable.
    pub(super) fn set(mut self, name: &'static str, value: &'static str) -> Site {
        self.settings.push((name, value));
        self
    }

    /// Starts on a free port.
    pub(super) fn start(&self) -> Outcome<Registry> {
        self.start_at("127.0.0.1:0")
    }

    /// Starts at an address, which an earlier start may have had.
    pub(super) fn start_at(&self, address: &str) -> Outcome<Registry> {
        let mut command = server(&self.bulkhead);
        command.arg("serve").args(["--addr", address]).envs(self.settings.iter().copied());
        match &self.configuration {
            None => command.arg("--data").arg(self.folder.join("data")),
            Some(text) => command.arg(configuration(&self.folder, text)?),
        };
        let mut server = Server::start(&mut command, &self.log)?;
        let address = server.wait_for("the registry's start", START_LIMIT, announced)?;
        Ok(Registry { server, address })
    }

    /// Frees the disk of a store whose registry is no longer wanted.
    pub(super) fn clear_away(self, registry: Registry) -> Outcome {
        drop(registry);
        Ok(std::fs::remove_dir_all(self.folder)?)
    }
}

/// A running registry.
pub(super) struct Registry {
    server: Server,
    /// `127.0.0.1:PORT`
    pub(super) address: String,
}

impl Registry {
    pub(super) fn id(&self) -> u32 {
        self.server.id()
    }

    /// Ends it as a crash would.
    pub(super) fn kill(&mut self) -> Outcome {
        self.server.kill()
    }

    /// The processes that the registry started, and that run now.
    pub(super) fn children(&self) -> Outcome<Vec<u32>> {
        let own = self.id();
        let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children"))?;
        Ok(children.split_whitespace().filter_map(|child| child.parse().ok()).collect())
    }
}

fn configuration(folder: &Path, text: &str) -> Outcome<PathBuf> {
    let file = folder.join("config.yml");
    std::fs::write(&file, text)?;
    Ok(file)
}

/// The address in the start-up line.
pub(crate) fn announced(log: &str) -> Option<String> {
    const BEFORE: &str = "http://";
    let rest = &log[log.find("http://127.0.0.1:")? + BEFORE.len()..];
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && !matches!(letter, '.' | ':'))?;
    Some(rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_start_up_line() {
        let log = "starting\nBulkhead 0.1.0 serves http://127.0.0.1:40123\n";
        assert_eq!(announced(log), Some("127.0.0.1:40123".into()));
        assert_eq!(announced("Bulkhead 0.1.0 serves http://127.0.0.1:401"), None, "the line may not be whole yet");
        assert_eq!(announced("starting"), None);
    }
}
