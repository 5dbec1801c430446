//! A recording under way: a registry on a store in memory, with the recorder between the two, and the file at the end.

use std::path::PathBuf;
use std::process::Stdio;

use driver_testsuite::Recorder;
use hyper_util::rt::TokioIo;
use reqwest::StatusCode;
use storagedriver_proto::limits::INLINE_MAX;
use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use storagedriver_proto::v1alpha1::{GetRequest, ReadRequest, WalkRequest, walk_response};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

use crate::images::OCI_MANIFEST;
use crate::support::{Registry, Setup, sha256};

/// Where the layout of a registry begins in a store.
pub(super) const ROOT: &str = "/docker/registry/v2";

/// When this variable is set, the files are written anew instead of compared.
const WRITE: &str = "RECORD_TRACES";

pub(super) struct Recording {
    name: &'static str,
    registry: Registry,
    recorder: Recorder,
    socket: PathBuf,
    _driver: Child,
}

impl Recording {
    /// Starts everything. A flush of the store persists multiples of `granularity` bytes.
    pub(super) async fn begin(name: &'static str, granularity: u64) -> Self {
        // What is remembered is not asked for.
        let setup = Setup::bare().set("storage.maintenance.uploadpurging.enabled", "false").set("cache.maxbytes", "0");
        let [behind, socket, parameters] =
            ["driver.sock", "recorder.sock", "driver.json"].map(|file| setup.folder().join(file));
        std::fs::write(&parameters, format!(r#"{{"granularity": "{granularity}"}}"#)).unwrap();
        let mut driver = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
        driver.args(["driver", "memory", "--config"]).arg(parameters).stderr(Stdio::null()).kill_on_drop(true);
        let driver = driver.arg("--listen").arg(address(&behind)).spawn().unwrap();
        let recorder = Recorder::listen(&socket, &behind).await.unwrap();
        let registry = setup.set("driver.attach", &address(&socket)).start().await;
        Recording { name, registry, recorder, socket, _driver: driver }
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Says what comes next.
    pub(super) fn step(&self, words: &str) -> &Registry {
        self.recorder.step(words);
        &self.registry
    }

    /// Runs a command of the registry on the same store.
    pub(super) async fn run(&self, command: &str, arguments: &[&str]) -> String {
        let setup = Setup::unsaid().set("driver.attach", &address(&self.socket));
        let setup = arguments.iter().fold(setup, |setup, argument| setup.argument(*argument));
        let output = setup.run(command).await;
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// A caller of the store that is no registry, through the recorder as well.
    pub(super) async fn store(&self) -> StorageDriverClient<Channel> {
        let socket = self.socket.clone();
        let connect = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        StorageDriverClient::new(endpoint.connect_with_connector(connect).await.unwrap())
    }

    /// Puts a manifest that names two blobs. The registry looks for both at once, in no order.
    pub(super) async fn put_image(&self, repository: &str, reference: &str, image: &[u8]) -> String {
        let looks = self.recorder.hold("Get", "/_layers/");
        let putting = self.registry.put_manifest(repository, reference, OCI_MANIFEST, image.to_vec());
        let (answer, ()) = tokio::join!(putting, async {
            looks.begun(2).await;
            drop(looks);
        });
        answer.expect(StatusCode::CREATED);
        sha256(image)
    }

    /// Looks at all that the store has: a trace ends with the tree that it must lead to, and its contents.
    pub(super) async fn look_at_everything(&self) {
        let mut store = self.store().await;
        for entry in walk(&mut store).await {
            let (path, size) = (entry.path, entry.info.unwrap_or_default().size);
            if size <= INLINE_MAX as u64 {
                store.get(GetRequest { path }).await.unwrap();
            } else {
                let read = ReadRequest { path, ..Default::default() };
                let mut messages = store.read(read).await.unwrap().into_inner();
                while messages.message().await.unwrap().is_some() {}
            }
        }
    }

    /// Ends the recording, and compares it with the one that is kept.
    pub(super) async fn end(self) {
        self.step("everything is looked at");
        self.look_at_everything().await;
        let recorded = self.recorder.trace().text().unwrap();
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../../driver-testsuite/traces/");
        let file = PathBuf::from(kept).join(self.name).with_extension("jsonl");
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&file, &recorded).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        let lines = recorded.lines().zip(kept.lines()).take_while(|(recorded, kept)| recorded == kept).count();
        let line = |text: &str| text.lines().nth(lines).unwrap_or("(nothing)").to_owned();
        assert!(
            recorded == kept,
            "the registry no longer asks what driver-testsuite/traces/{}.jsonl says, from line {} on:\n  kept: {}\n  \
             asked: {}\nIf that is meant: `cargo xtask record-traces`, look at the difference, and commit it.",
            self.name,
            lines + 1,
            line(&kept),
            line(&recorded),
        );
    }
}

fn address(socket: &std::path::Path) -> String {
    format!("unix:{}", socket.display())
}

/// All content of the layout.
pub(super) async fn walk(store: &mut StorageDriverClient<Channel>) -> Vec<walk_response::Entry> {
    let request = WalkRequest { path: ROOT.to_owned(), start_after: String::new() };
    let mut messages = store.walk(request).await.unwrap().into_inner();
    let mut entries = Vec::new();
    while let Some(message) = messages.message().await.unwrap() {
        entries.extend(message.entries);
    }
    entries
}
