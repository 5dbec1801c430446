//! [`Proxy`]: a man in the middle of a Unix socket, who passes bytes on until he is told to do otherwise.
//!
//! It counts bytes and knows nothing of what they mean.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::try_join;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes that are passed on at once.
const PIECE: usize = 64 << 10;

/// What becomes of a connection. The default passes everything on, at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Line {
    /// After so many bytes to the driver the connection is cut.
    pub(crate) to_driver: Option<u64>,
    /// After so many bytes to the caller the connection is cut.
    pub(crate) to_caller: Option<u64>,
    /// Each piece waits this long.
    pub(crate) delay: Duration,
}

/// A socket that leads to another one. Dropping it cuts every connection.
pub(crate) struct Proxy {
    socket: PathBuf,
    orders: watch::Sender<Orders>,
    accepting: JoinHandle<()>,
    _folder: TempDir,
}

/// What holds for every connection now.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    /// Of connections that are still to come.
    line: Line,
    /// How often every connection was cut.
    cuts: u64,
    /// Nothing is read from either side.
    held: bool,
    /// What the callers of this many connections and all before had to say is over.
    closed: bool,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// A socket of its own that leads to `upstream`.
    pub(crate) fn before(upstream: &Path) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("line.sock");
        let (orders, receiver) = watch::channel(Orders::default());
        let accepting = tokio::spawn(accept(UnixListener::bind(&socket)?, upstream.to_owned(), receiver));
        Ok(Proxy { socket, orders, accepting, _folder: folder })
    }

    /// Where callers connect.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What becomes of the connections that are still to come.
    pub(crate) fn lay(&self, line: Line) {
        self.orders.send_modify(|orders| orders.line = line);
    }

    /// Cuts every connection there is.
    pub(crate) fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Stops reading from both sides, or goes on.
    pub(crate) fn hold(&self, held: bool) {
        self.orders.send_modify(|orders| orders.held = held);
    }

    /// Tells the driver that the callers have nothing more to say, and goes on passing its answers.
    pub(crate) fn half_close(&self) {
        self.orders.send_modify(|orders| orders.closed = true);
    }
}

async fn accept(listener: UnixListener, upstream: PathBuf, orders: watch::Receiver<Orders>) {
    let mut connections = JoinSet::new();
    while let Ok((caller, _)) = listener.accept().await {
        connections.spawn(connect(caller, upstream.clone(), orders.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// One connection, to its end.
async fn connect(caller: UnixStream, upstream: PathBuf, mut orders: watch::Receiver<Orders>) -> io::Result<()> {
    let Orders { line, cuts, .. } = *orders.borrow_and_update();
    let (from_driver, to_driver) = UnixStream::connect(upstream).await?.into_split();
    let (from_caller, to_caller) = caller.into_split();
    let there = async {
        let mut closed = orders.clone();
        let passing = pass(from_caller, to_driver, line.to_driver, line.delay, orders.clone());
        tokio::select! {
            passed = passing => passed,
            // Dropping the writing half is what half-closes the connection.
            _ = closed.wait_for(|orders| orders.closed) => Ok(()),
        }
    };
    let back = pass(from_driver, to_caller, line.to_caller, line.delay, orders.clone());
    let mut cut = orders.clone();
    tokio::select! {
        passed = try_join(there, back) => passed.map(drop),
        _ = cut.wait_for(|orders| orders.cuts > cuts) => Ok(()),
    }
}

/// Passes bytes on in one direction. An error, also that of a limit, ends both directions.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut left: Option<u64>,
    delay: Duration,
    mut orders: watch::Receiver<Orders>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        orders.wait_for(|orders| !orders.held).await.map_err(io::Error::other)?;
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let most = left.map_or(length, |left| length.min(usize::try_from(left).unwrap_or(usize::MAX)));
        to.write_all(&piece[..most]).await?;
        left = left.map(|left| left - most as u64);
        if left == Some(0) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes back through `line` when `sent` is echoed, until the connection ends.
    async fn echoed(proxy: &Proxy, sent: &[u8]) -> Vec<u8> {
        let mut caller = UnixStream::connect(proxy.socket()).await.unwrap();
        let (mut reading, mut writing) = caller.split();
        let mut seen = Vec::new();
        let send = async {
            let _ = writing.write_all(sent).await;
            let _ = writing.shutdown().await;
        };
        let (_, _) = tokio::join!(send, reading.read_to_end(&mut seen));
        seen
    }

    #[tokio::test]
    async fn a_line_is_cut_where_it_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let upstream = folder.path().join("echo.sock");
        let listener = UnixListener::bind(&upstream).unwrap();
        let echo = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut reading, mut writing) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut reading, &mut writing).await });
            }
        });
        let proxy = Proxy::before(&upstream).unwrap();
        let sent = vec![7; 300_000];
        assert_eq!(echoed(&proxy, &sent).await.len(), 300_000);
        proxy.lay(Line { to_caller: Some(1234), ..Line::default() });
        assert_eq!(echoed(&proxy, &sent).await.len(), 1234);
        proxy.lay(Line { to_driver: Some(70_000), ..Line::default() });
        assert!(echoed(&proxy, &sent).await.len() <= 70_000);
        echo.abort();
    }
}
