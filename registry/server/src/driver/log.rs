//! The log of a driver process: its standard error, re-emitted line by line, and the last of it kept for a crash.
//!
//! A line is a JSON object with `level` and `message`, or plain text. It knows nothing of what the lines mean.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

/// A longer line continues in the next one.
const LINE_MAX: u64 = 64 << 10;
/// Lines kept for a crash, each cut to so many characters, and how many of them are shown.
const KEPT_LINES: usize = 100;
const KEPT_CHARACTERS: usize = 1000;
const SHOWN_LINES: usize = 20;
/// Lines re-emitted each second.
const RATE_MAX: u32 = 500;

/// The log of one process.
pub(super) struct DriverLog {
    last: Arc<Mutex<VecDeque<String>>>,
    reader: AbortOnDropHandle<()>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(super) status: String,
    pub(super) last_lines: Vec<String>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.status)?;
        if !self.last_lines.is_empty() {
            write!(f, "; the last it said:")?;
        }
        self.last_lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl DriverLog {
    /// Reads `stderr` to its end, on behalf of the driver named `driver`.
    pub(super) fn follow(stderr: impl AsyncRead + Send + Unpin + 'static, driver: String, pid: u32) -> Self {
        let last = Arc::new(Mutex::new(VecDeque::with_capacity(KEPT_LINES)));
        let reader = tokio::spawn(read_lines(stderr, driver, pid, Arc::clone(&last)));
        DriverLog { last, reader: AbortOnDropHandle::new(reader) }
    }

    /// The last lines of a process that ended with `status`, when they have all been read.
    pub(super) async fn close(&mut self, status: String) -> Exit {
        // A grandchild may keep the pipe open: then what has been read so far must do.
        let _ = timeout(Duration::from_secs(1), &mut self.reader).await;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last_lines = last.iter().skip(last.len().saturating_sub(SHOWN_LINES)).cloned().collect();
        Exit { status, last_lines }
    }
}

async fn read_lines(stderr: impl AsyncRead + Unpin, driver: String, pid: u32, last: Arc<Mutex<VecDeque<String>>>) {
    let mut stderr = BufReader::new(stderr);
    let mut rate = Rate::starting(Instant::now());
    while let Some(text) = next_line(&mut stderr).await {
        let line = Line::parse(&text);
        keep(&last, &line);
        let (emit, dropped) = rate.admit(Instant::now());
        if dropped > 0 {
            tracing::warn!(driver, pid, dropped, "the driver said too much, and some of its lines were dropped");
        }
        if emit {
            line.emit(&driver, pid);
        }
    }
}

/// The next line that is not blank; `None` at the end.
async fn next_line(stderr: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    loop {
        let mut line = Vec::new();
        let read = stderr.take(LINE_MAX).read_until(b'\n', &mut line).await;
        if !read.is_ok_and(|read| read > 0) {
            return None;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !text.is_empty() {
            return Some(text);
        }
    }
}

fn keep(last: &Mutex<VecDeque<String>>, line: &Line) {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    if last.len() == KEPT_LINES {
        last.pop_front();
    }
    last.push_back(line.to_string().chars().take(KEPT_CHARACTERS).collect());
}

/// So many lines each second, and a count of the others.
struct Rate {
    second: Instant,
    emitted: u32,
    dropped: u64,
}

impl Rate {
    fn starting(now: Instant) -> Self {
        Rate { second: now, emitted: 0, dropped: 0 }
    }

    /// Whether one more line is emitted, and how many dropped ones are to be told of first.
    fn admit(&mut self, now: Instant) -> (bool, u64) {
        let mut dropped = 0;
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            dropped = self.dropped;
            *self = Rate::starting(now);
        }
        let emit = self.emitted < RATE_MAX;
        if emit {
            self.emitted += 1;
        } else {
            self.dropped += 1;
        }
        (emit, dropped)
    }
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Line {
    #[serde(default)]
    level: String,
    message: String,
    #[serde(flatten)]
    fields: serde_json::Map<String, serde_json::Value>,
}

impl Line {
    fn parse(text: &str) -> Self {
        let line = serde_json::from_str::<Line>(text);
        let mut line = line.unwrap_or_else(|_| Line {
            level: String::new(),
            message: text.to_owned(),
            fields: serde_json::Map::new(),
        });
        // The registry's own log has the time.
        line.fields.remove("timestamp");
        line
    }

    fn emit(&self, driver: &str, pid: u32) {
        match self.level.to_ascii_lowercase().as_str() {
            "error" => tracing::error!(driver, pid, "{self}"),
            "warn" | "warning" => tracing::warn!(driver, pid, "{self}"),
            "debug" => tracing::debug!(driver, pid, "{self}"),
            "trace" => tracing::trace!(driver, pid, "{self}"),
            _ => tracing::info!(driver, pid, "{self}"),
        }
    }
}

/// The message, and what else the driver said, as it said it.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_or_text() {
        let line = Line::parse(r#"{"timestamp":"now","level":"WARN","message":"disk slow","path":"/a"}"#);
        assert_eq!((line.level.as_str(), line.to_string().as_str()), ("WARN", r#"disk slow path="/a""#));
        for text in ["panicked at 'x'", "{\"message\":7}", "{"] {
            let line = Line::parse(text);
            assert_eq!((line.level.as_str(), line.to_string().as_str()), ("", text));
        }
    }

    #[tokio::test]
    async fn a_long_line_continues_in_the_next() {
        let text = format!("{}b\n\n\nc", "a".repeat(64 << 10));
        let mut stderr = BufReader::new(text.as_bytes());
        assert_eq!(next_line(&mut stderr).await.unwrap().len(), 64 << 10);
        assert_eq!(next_line(&mut stderr).await.as_deref(), Some("b"));
        assert_eq!(next_line(&mut stderr).await.as_deref(), Some("c"));
        assert_eq!(next_line(&mut stderr).await, None);
    }

    #[tokio::test]
    async fn the_last_lines_are_kept_for_a_crash() {
        let text: String = (0..300).map(|number| format!("line {number}\n")).collect();
        let mut log = DriverLog::follow(std::io::Cursor::new(text), "test".to_owned(), 1);
        let exit = log.close("signal 9".to_owned()).await;
        assert_eq!(exit.last_lines.len(), SHOWN_LINES);
        let text = exit.to_string();
        assert!(text.starts_with("signal 9; the last it said:\n  line 280\n") && text.ends_with("line 299"), "{text}");
    }

    #[test]
    fn too_many_lines_are_counted_instead() {
        let start = Instant::now();
        let mut rate = Rate::starting(start);
        let emitted = (0..RATE_MAX + 7).filter(|_| rate.admit(start).0).count();
        assert_eq!(emitted, RATE_MAX as usize);
        assert_eq!(rate.admit(start + Duration::from_secs(1)), (true, 7));
        assert_eq!(rate.admit(start + Duration::from_secs(1)), (true, 0));
    }
}
