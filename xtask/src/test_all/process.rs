//! Commands that end in bounded time, and servers that end with their owner.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;

const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// A command that coreutils' `timeout` ends after so many seconds.
pub(crate) fn bounded(seconds: u32, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", &seconds.to_string()]).arg(program).stdin(Stdio::null());
    command
}

/// Runs a line of bash with arguments; a pipe fails with any of its commands.
pub(crate) fn shell<const N: usize>(line: &str, arguments: [&OsStr; N]) -> Outcome<String> {
    run(bounded(600, "bash").args(["-euo", "pipefail", "-c", line, "bash"]).args(arguments))
}

/// Runs a command to its end and gives what it printed; a failure shows what it complained about.
pub(crate) fn run(command: &mut Command) -> Outcome<String> {
    let output = command.output().map_err(|problem| format!("{}: {problem}", words(command)))?;
    judge(command, &output)
}

fn judge(command: &Command, output: &Output) -> Outcome<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let complaint = [output.stdout.as_slice(), &output.stderr].concat();
    Err(format!("{}: {}\n{}", words(command), output.status, tail(&String::from_utf8_lossy(&complaint))).into())
}

/// The command as a person would type it.
fn words(command: &Command) -> String {
    let all: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    format!("{} {}", command.get_program().to_string_lossy(), all.join(" "))
}

/// The last lines, where a program usually says why it failed.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Asks again and again until there is an answer; fails in the words of `what` when it takes too long.
pub(crate) fn poll<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            return Err(format!("{what}: not within {} s", limit.as_secs()).into());
        }
        std::thread::sleep(POLL);
    }
}

/// A server's command. The kernel ends the server when this program is killed, and cannot end it itself.
pub(crate) fn server(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(program);
    command
}

/// A server, its output in a file. Dropping it stops it in order, and by force when it does not.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    /// Where its own lines begin: an earlier server may have written to the same file.
    begin: usize,
}

impl Server {
    pub(crate) fn start(command: &mut Command, log: &Path) -> Outcome<Server> {
        let output = File::options().create(true).append(true).open(log)?;
        let begin = usize::try_from(output.metadata()?.len())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|problem| format!("{}: {problem}", words(command)))?;
        Ok(Server { child, log: log.to_owned(), begin })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn output(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[self.begin.min(log.len())..]).into_owned()
    }

    /// Waits for the answer of a server that may end instead.
    pub(crate) fn wait_for<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ask: impl FnMut(&str) -> Option<T>,
    ) -> Outcome<T> {
        poll(what, limit, || {
            let answer = ask(&self.output());
            match self.child.try_wait()? {
                Some(status) if answer.is_none() => {
                    Err(format!("{what}: ended, {status}\n{}", tail(&self.output())).into())
                }
                _ => Ok(answer),
            }
        })
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn has_ended_within(&mut self, limit: Duration) -> bool {
        poll("the end", limit, || Ok(self.child.try_wait()?)).is_ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = matches!(self.child.try_wait(), Ok(Some(_)));
        if !ended {
            signal(self.child.id(), Signal::TERM);
        }
        if !self.has_ended_within(STOP_LIMIT) {
            let _gone = self.kill();
        }
    }
}

/// Runs a command that would last so long, and disturbs it at random moments.
pub(crate) fn disturb(
    command: &mut Command,
    lasts: Duration,
    times: usize,
    mut disturbance: impl FnMut() -> Outcome,
) -> Outcome<String> {
    let mut moments: Vec<_> = (0..times).map(|_| lasts.mul_f64(rand::random())).collect();
    moments.sort();
    let begin = Instant::now();
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let disturbed = moments.iter().try_for_each(|moment| {
        std::thread::sleep(moment.saturating_sub(begin.elapsed()));
        disturbance()
    });
    judge(command, &running.wait_with_output()?)?;
    disturbed?;
    Ok(format!("disturbed after {moments:.1?} of {lasts:.1?}"))
}

/// Sends a signal to a process that may be gone already.
pub(crate) fn signal(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _gone = kill_process(process, signal);
    }
}
