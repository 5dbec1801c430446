//! A real registry for a test: the built executable on a port of its own, with a store of its own, and the few requests
//! that most tests need.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

/// How long anything may take that must happen. Only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How to run a registry. A clone runs another one on the same store.
#[derive(Clone)]
pub(crate) struct Setup {
    folder: Arc<TempDir>,
    arguments: Vec<OsString>,
    variables: Vec<(String, String)>,
}

impl Setup {
    /// The filesystem driver in a folder of its own, which [`Setup::data`] names.
    pub(crate) fn filesystem() -> Self {
        let setup = Setup::bare();
        let data = setup.data().into_os_string();
        setup.argument("--data").argument(data)
    }

    /// The memory driver.
    pub(crate) fn memory() -> Self {
        Setup::bare().set("storage.memory", "")
    }

    /// A free port, with nothing else said.
    pub(crate) fn bare() -> Self {
        Setup::unsaid().argument("--addr").argument("127.0.0.1:0")
    }

    /// Nothing said at all.
    pub(crate) fn unsaid() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Setup { folder, arguments: Vec::new(), variables: Vec::new() }
    }

    /// One setting by its name in the configuration file, such as `storage.delete.enabled`.
    pub(crate) fn set(mut self, setting: &str, value: &str) -> Self {
        let name = format!("REGISTRY_{}", setting.to_ascii_uppercase().replace('.', "_"));
        self.variables.push((name, value.to_owned()));
        self
    }

    pub(crate) fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// A folder that lives as long as any clone of this setup and any registry started from one.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the filesystem driver.
    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder().join("data")
    }

    /// Starts the registry and waits until it serves.
    pub(crate) async fn start(&self) -> Registry {
        let mut process = self.command("serve").kill_on_drop(true).spawn().unwrap();
        let log = Log::of(process.stderr.take().unwrap());
        let base = match tokio::time::timeout(PATIENCE, address(process.stdout.take().unwrap())).await {
            Ok(Some(base)) => base,
            Ok(None) => panic!("the registry ended before it served:\n{}", log.text()),
            Err(_) => panic!("the registry does not come to serve:\n{}", log.text()),
        };
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Registry { setup: self.clone(), process, base, client, log }
    }

    /// Runs `command` to its end: one that does not serve, or that should fail to.
    pub(crate) async fn run(&self, command: &str) -> Output {
        let ran = self.command(command).kill_on_drop(true).output();
        tokio::time::timeout(PATIENCE, ran).await.expect("the command should end by itself").unwrap()
    }

    fn command(&self, command: &str) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REGISTRY_")) {
            process.env_remove(name);
        }
        process.arg(command).args(&self.arguments).envs(self.variables.iter().cloned());
        process.current_dir(self.folder()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        process
    }
}

/// Reads the address from what a person would read, and leaves the rest to nobody.
async fn address(stdout: impl AsyncRead + Unpin + Send + 'static) -> Option<String> {
    let mut lines = BufReader::new(stdout).lines();
    let first = lines.next_line().await.unwrap()?;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let (_, base) = first.split_once(" serves ").unwrap_or_else(|| panic!("an odd first line: {first}"));
    Some(base.to_owned())
}

/// What the registry, and its driver, wrote to standard error.
#[derive(Clone)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn of(stderr: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let log = Log(Arc::default());
        let written = log.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                written.0.lock().unwrap().extend([line.as_str(), "\n"]);
            }
        });
        log
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

/// A running registry. Dropping it kills it, and its driver with it.
pub(crate) struct Registry {
    setup: Setup,
    process: Child,
    base: String,
    client: Client,
    log: Log,
}

impl Registry {
    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Follows no redirect.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The absolute form of a `Location`, or of a path.
    pub(crate) fn url(&self, location: &str) -> String {
        if location.starts_with('/') { format!("{}{location}", self.base) } else { location.to_owned() }
    }

    pub(crate) fn request(&self, method: Method, location: &str) -> RequestBuilder {
        self.client.request(method, self.url(location))
    }

    pub(crate) async fn get(&self, location: &str) -> Answer {
        Answer::to(self.request(Method::GET, location)).await
    }

    pub(crate) async fn head(&self, location: &str) -> Answer {
        Answer::to(self.request(Method::HEAD, location)).await
    }

    pub(crate) async fn post(&self, location: &str) -> Answer {
        Answer::to(self.request(Method::POST, location)).await
    }

    pub(crate) async fn delete(&self, location: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, location)).await
    }

    pub(crate) async fn patch(&self, location: &str, body: impl Into<Bytes>) -> Answer {
        Answer::to(self.request(Method::PATCH, location).body(body.into())).await
    }

    pub(crate) async fn put(&self, location: &str, body: impl Into<Bytes>) -> Answer {
        Answer::to(self.request(Method::PUT, location).body(body.into())).await
    }

    /// Pushes a blob with one POST; gives its digest.
    pub(crate) async fn push_blob(&self, repository: &str, content: impl Into<Bytes>) -> String {
        let content = content.into();
        let digest = sha256(&content);
        let location = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let answer = Answer::to(self.request(Method::POST, &location).body(content)).await;
        answer.expect(StatusCode::CREATED);
        digest
    }

    /// Puts a manifest under a tag or digest.
    pub(crate) async fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        content: impl Into<Bytes>,
    ) -> Answer {
        let location = format!("/v2/{repository}/manifests/{reference}");
        let request = self.request(Method::PUT, &location).header(CONTENT_TYPE, media_type).body(content.into());
        Answer::to(request).await
    }

    /// What was logged until now.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// The process of the driver, as `/readyz` tells it while there is one.
    pub(crate) async fn driver_pid(&self) -> Pid {
        let known = || async {
            let pid = self.get("/readyz").await.json()["driver"]["pid"].as_u64()?;
            Some(process(u32::try_from(pid).unwrap()))
        };
        eventually("the driver has a process", known).await
    }

    /// How often the driver was started again.
    pub(crate) async fn driver_restarts(&self) -> u64 {
        self.get("/readyz").await.json()["driver"]["restarts"].as_u64().unwrap()
    }

    pub(crate) async fn signal_driver(&self, signal: Signal) {
        rustix::process::kill_process(self.driver_pid().await, signal).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id().expect("the registry should still run")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(process(self.pid()), signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.process.wait()).await.expect("the registry should end").unwrap()
    }

    /// Ends this registry with `signal` and starts another on the same store.
    pub(crate) async fn restart(mut self, signal: Signal) -> Registry {
        self.signal(signal);
        self.ended().await;
        self.setup.start().await
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the registry logged:\n{}", self.log.text());
        }
        // The driver ends when the registry is gone, but not while a test has stopped it.
        let Some(registry) = self.process.id() else { return };
        for pid in [registry].into_iter().chain(children(registry)) {
            let _ended_already = rustix::process::kill_process(process(pid), Signal::KILL);
        }
    }
}

/// The processes that `parent` has started, from any of its threads.
fn children(parent: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect()
}

fn process(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn to(request: RequestBuilder) -> Answer {
        let response = request.timeout(PATIENCE * 4).send().await.expect("the registry should answer");
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.expect("the whole body should come") }
    }

    /// Panics when the status is another.
    #[track_caller]
    pub(crate) fn expect(self, status: StatusCode) -> Answer {
        assert_eq!(self.status, status, "{:?}\n{}", self.headers, String::from_utf8_lossy(&self.body));
        self
    }

    /// Panics when the status, or the code of the error body, is another.
    #[track_caller]
    pub(crate) fn expect_error(self, status: StatusCode, code: &str) -> Answer {
        let answer = self.expect(status);
        assert_eq!(answer.json()["errors"][0]["code"], code, "{}", answer.json());
        answer
    }

    /// The value of a header; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|problem| panic!("{problem}: {:?}", self.body))
    }
}

/// `sha256:…` of `content`.
pub(crate) fn sha256(content: &[u8]) -> String {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Asks again and again until there is an answer, and panics when there is none in time.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
