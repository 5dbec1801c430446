//! [`Bench`]: a registry whose driver is somebody else's process, with a recorder between the two, and a server that keeps a
//! log of its own. Work is done on it piece by piece, each marked in both.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::count::{Counts, MARK, call, count, request, shown};
use crate::Outcome;
use crate::http::Client;
use crate::test_all::process::{Server, poll, server};
use crate::test_all::registry::{Registry, Site};
use crate::test_all::suite;
use crate::test_all::workshop::Workshop;

const PATIENCE: Duration = Duration::from_secs(30);
/// What goes on after an answer is over when the server has been asked nothing for as long.
const SILENCE: Duration = Duration::from_millis(400);

pub(super) struct Bench {
    site: [Site; 2],
    registry: Option<Registry>,
    recorder: Server,
    _driver: Server,
    recording: PathBuf,
    access_log: PathBuf,
    /// What was done after each mark.
    done: Vec<String>,
}

impl Bench {
    pub(super) fn start(
        workshop: &Workshop,
        parameters: &[(&'static str, String)],
        access_log: &Path,
    ) -> Outcome<Self> {
        let folder = workshop.folder("requests")?;
        let (behind, before) = (folder.join("driver.sock"), folder.join("recorder.sock"));
        let (store, recording) = (folder.join("store.json"), folder.join("recording"));
        // Looking for old uploads is nobody's request.
        let all = parameters.iter().map(|(name, value)| format!("{name:?}: {value:?}"));
        let all: Vec<_> = all.chain([r#""uploadmaxdays": "0""#.to_owned()]).collect();
        std::fs::write(&store, format!("{{{}}}", all.join(", ")))?;
        let mut driver = server(workshop.executable("bulkhead-driver-s3")?);
        driver.arg("--listen").arg(unix(&behind)).arg("--config").arg(store);
        let mut driver = Server::start(&mut driver, &workshop.log("requests-driver"))?;
        driver.wait_for("the driver's start", PATIENCE, |log| log.contains("the store can be used").then_some(()))?;
        let mut recorder = server(suite::build(workshop)?);
        recorder.arg("record").arg("--attach").arg(unix(&behind)).arg("--listen").arg(unix(&before));
        let mut recorder = Server::start(recorder.arg("--out").arg(&recording), &workshop.log("requests-recorder"))?;
        recorder.wait_for("the recorder's start", PATIENCE, |_| before.exists().then_some(()))?;
        let site = |redirects: bool| Site::configured(workshop, "requests", configuration(&before, redirects));
        let site = [site(false)?, site(true)?];
        let access_log = access_log.to_owned();
        let (registry, done) = (None, vec!["the start".to_owned()]);
        Ok(Bench { site, registry, recorder, _driver: driver, recording, access_log, done })
    }

    /// A registry that remembers nothing, in the place of the one before.
    pub(super) fn renew(&mut self, redirects: bool) -> Outcome<Client> {
        self.registry = None;
        let registry = self.site[usize::from(redirects)].start()?;
        let client = Client::open(&registry.address)?;
        self.registry = Some(registry);
        self.mark()?;
        Ok(client)
    }

    /// Does `work`, which the page calls `name`.
    pub(super) fn count(&mut self, name: &str, work: impl FnOnce() -> Outcome) -> Outcome {
        work().map_err(|problem| format!("{name}: {problem}"))?;
        name.clone_into(self.done.last_mut().ok_or("nothing was marked")?);
        self.mark()
    }

    /// What comes next is counted by itself.
    fn mark(&mut self) -> Outcome {
        self.settle()?;
        let number = self.done.len();
        let registry = self.registry.as_ref().ok_or("no registry runs")?;
        Client::open(&registry.address)?.get(&format!("/v2/{MARK}{number}/manifests/none"), 404)?;
        self.settle()?;
        self.done.push(String::new());
        Ok(())
    }

    fn settle(&self) -> Outcome {
        let mut before = u64::MAX;
        poll("silence of the registry", PATIENCE, || {
            let length = std::fs::metadata(&self.access_log)?.len();
            let is_silent = length == before;
            before = length;
            sleep(SILENCE);
            Ok(is_silent.then_some(()))
        })
    }

    /// The table of all that was counted.
    pub(super) fn end(self) -> Outcome<String> {
        let Bench { registry, recorder, recording, access_log, done, .. } = self;
        drop(registry);
        drop(recorder);
        let (recording, log) = (std::fs::read_to_string(recording)?, std::fs::read_to_string(access_log)?);
        let (calls, requests) = (count(recording.lines(), call), count(log.lines(), request));
        Ok(table(&done, &calls, &requests))
    }
}

fn table(done: &[String], calls: &Counts, requests: &Counts) -> String {
    let mut table = "| request | calls of the driver | requests to S3 |\n|---|---|---|\n".to_owned();
    for (number, name) in done.iter().enumerate().skip(1).filter(|(_, name)| !name.is_empty()) {
        table.push_str(&format!("| {name} | {} | {} |\n", shown(calls.get(&number)), shown(requests.get(&number))));
    }
    table
}

fn unix(socket: &Path) -> String {
    format!("unix:{}", socket.display())
}

fn configuration(socket: &Path, redirects: bool) -> String {
    let delete = "  delete:\n    enabled: true\n";
    let redirect = format!("  redirect:\n    disable: {}\n", !redirects);
    let purging = "  maintenance:\n    uploadpurging:\n      enabled: false\n";
    format!("version: 0.1\nstorage:\n{delete}{redirect}{purging}driver:\n  attach: {}\n", unix(socket))
}
