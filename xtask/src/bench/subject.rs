//! The registries that are measured: this one in its forms, Debian's distribution, and what somebody else runs.
//!
//! It must not know what is measured.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Outcome;
use crate::test_all::process::{Server, poll, server};
use crate::test_all::registry::announced;

const START_LIMIT: Duration = Duration::from_secs(30);
const DISTRIBUTION: &str = "docker-registry";

/// One registry that can be started, again and again, each time with a store of its own.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Clone)]
pub(super) enum Kind {
    /// This registry over a folder; the driver hands over open files, or sends all bytes itself.
    Filesystem {
        bulkhead: PathBuf,
        descriptors: bool,
    },
    /// This registry over a store in memory.
    Memory {
        bulkhead: PathBuf,
    },
    Distribution,
    /// What runs already.
    Running {
        address: String,
        process: Option<u32>,
    },
}

/// A registry that runs.
pub(super) struct Running {
    pub(super) address: String,
    /// The root of its processes, when it is on this machine.
    pub(super) process: Option<u32>,
    _server: Option<Server>,
}

impl Subject {
    /// This registry's forms, and distribution when it is installed.
    pub(super) fn usual(bulkhead: &Path) -> Vec<Subject> {
        let bulkhead = bulkhead.to_owned();
        let subject = |name: &str, kind| Subject { name: name.to_owned(), kind };
        let mut subjects = vec![
            subject("bulkhead", Kind::Filesystem { bulkhead: bulkhead.clone(), descriptors: true }),
            subject("bulkhead, stream", Kind::Filesystem { bulkhead: bulkhead.clone(), descriptors: false }),
            subject("bulkhead, memory", Kind::Memory { bulkhead }),
        ];
        if Path::new("/usr/bin").join(DISTRIBUTION).exists() {
            subjects.push(subject("distribution", Kind::Distribution));
        } else {
            println!("no {DISTRIBUTION} here: apt install docker-registry to measure distribution beside");
        }
        subjects
    }

    /// `NAME=URL`, of a registry that somebody else runs.
    pub(super) fn running(text: &str, process: Option<u32>) -> Outcome<Subject> {
        let (name, url) = text.split_once('=').ok_or(format!("{text}: write NAME=http://HOST:PORT"))?;
        let address = url.strip_prefix("http://").ok_or(format!("{url}: only http:// is measured"))?;
        let kind = Kind::Running { address: address.trim_end_matches('/').to_owned(), process };
        Ok(Subject { name: name.to_owned(), kind })
    }

    /// Its memory holds its store, so what it uses says nothing.
    pub(super) fn keeps_content_in_memory(&self) -> bool {
        matches!(self.kind, Kind::Memory { .. })
    }

    /// Whether it can be given a store that others have made.
    pub(super) fn takes_a_store(&self) -> bool {
        matches!(self.kind, Kind::Filesystem { descriptors: true, .. } | Kind::Distribution)
    }

    /// Starts it, with its store in `folder`.
    pub(super) fn start(&self, folder: &Path) -> Outcome<Running> {
        let log = folder.join("log");
        match &self.kind {
            Kind::Filesystem { bulkhead, descriptors } => start_bulkhead(bulkhead, folder, *descriptors, &log),
            Kind::Memory { bulkhead } => start_in_memory(bulkhead, folder, &log),
            Kind::Distribution => start_distribution(folder, &log),
            Kind::Running { address, process } => {
                Ok(Running { address: address.clone(), process: *process, _server: None })
            }
        }
    }
}

/// Where the store is that a subject started in `folder` serves.
pub(super) fn store(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn start_bulkhead(bulkhead: &Path, folder: &Path, descriptors: bool, log: &Path) -> Outcome<Running> {
    let mut command = server(bulkhead);
    command.args(["serve", "--addr", "127.0.0.1:0", "--data"]).arg(store(folder));
    command.env("REGISTRY_DRIVER_DESCRIPTORS", descriptors.to_string());
    started(Server::start(&mut command, log)?)
}

fn start_in_memory(bulkhead: &Path, folder: &Path, log: &Path) -> Outcome<Running> {
    let configuration = folder.join("config.yml");
    std::fs::write(&configuration, "version: 0.1\nstorage:\n  memory: {}\n")?;
    let mut command = server(bulkhead);
    command.args(["serve", "--addr", "127.0.0.1:0"]).arg(configuration);
    started(Server::start(&mut command, log)?)
}

fn started(mut server: Server) -> Outcome<Running> {
    let address = server.wait_for("the registry's start", START_LIMIT, announced)?;
    Ok(Running { address, process: Some(server.id()), _server: Some(server) })
}

/// As Debian configures it, without the passwords.
fn start_distribution(folder: &Path, log: &Path) -> Outcome<Running> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let text = format!(
        "version: 0.1\nstorage:\n  cache:\n    blobdescriptor: inmemory\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n",
        store(folder).display()
    );
    let configuration = folder.join("config.yml");
    std::fs::write(&configuration, text)?;
    let server = Server::start(server(DISTRIBUTION).arg("serve").arg(configuration), log)?;
    poll("the start of distribution", START_LIMIT, || Ok(TcpStream::connect(&address).ok().map(drop)))?;
    Ok(Running { address, process: Some(server.id()), _server: Some(server) })
}
