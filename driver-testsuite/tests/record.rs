//! The recorder as a program: what a caller asks of a driver through it comes to the same, and stands in a file.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use driver_testsuite::{Level, Options, Profile, Target, Trace, run};
use rustix::process::{Pid, Signal, kill_process};

const SUITE: &str = env!("CARGO_BIN_EXE_driver-testsuite");
const DRIVER: &str = env!("CARGO_BIN_EXE_bulkhead-driver-faulty");

/// How long a process may take to come or go.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended_already = self.0.wait();
    }
}

fn start(program: &str, arguments: &[String]) -> Running {
    Running(Command::new(program).args(arguments).stderr(Stdio::null()).spawn().unwrap())
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn unix(socket: &Path) -> String {
    format!("unix:{}", socket.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_unchanged_and_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (driver, socket, out, parameters) =
        (at("driver.sock"), at("recorder.sock"), at("out.jsonl"), at("driver.json"));
    std::fs::write(&parameters, r#"{"secret": "never told"}"#).unwrap();
    let path = |path: &Path| path.display().to_string();
    let _driver = start(DRIVER, &["--listen".to_owned(), unix(&driver), "--config".to_owned(), path(&parameters)]);
    let words = ["record", "--attach", &unix(&driver), "--listen", &unix(&socket), "--out", &path(&out)];
    let mut recorder = start(SUITE, &words.map(str::to_owned));
    until("the recorder listens", || socket.exists());

    let filter = ["content/stat", "content/get_refused", "sessions/published"].map(str::to_owned).to_vec();
    let options = Options { filter, level: Level::Quick, ..Options::of(Profile::Ephemeral) };
    let report = run(&Target::Attached(socket.clone()), &options).await.unwrap();
    assert!(report.is_kept(), "{report}");

    kill_process(Pid::from_raw(recorder.0.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    until("the recorder ends", || recorder.0.try_wait().unwrap().is_some());
    assert!(recorder.0.wait().unwrap().success() && !socket.exists());
    let text = std::fs::read_to_string(out).unwrap();
    Trace::parse(&text).unwrap();
    for part in ["{\"Put\":{", "{\"Commit\":{", "\"refused\":\"NOT_FOUND\"", "\"committed\"", "\"flush\":["] {
        assert!(text.contains(part), "{part} is not in the trace");
    }
    assert!(!text.contains("never told") && !text.contains("Configure"));
}
