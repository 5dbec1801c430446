//! [`serve`]: the whole of a driver's `main`, from the first descriptor to the exit code.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::RawFd;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::process::umask;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixListener;
use tokio::net::unix::pipe;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::descriptor::adopt;
use crate::driver::StorageDriver;
use crate::launch::{Launch, Socket, read_configuration};
use crate::logs;
use crate::server::Server;

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// Runs the driver `D` as this process was started to, until it is told to stop. Call it from `main`, once.
pub fn serve<D: StorageDriver>() -> ExitCode {
    serve_with_arguments::<D>(std::env::args_os().skip(1))
}

/// Like [`serve`], for a program with arguments before those of the driver.
pub fn serve_with_arguments<D: StorageDriver>(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    logs::start();
    let program = format!("bulkhead-driver-{}", D::NAME);
    let ended =
        Launch::read(&program, arguments, |name| std::env::var_os(name)).map_err(Problem::from).and_then(run::<D>);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let chain = std::iter::successors(problem.source(), |&cause| cause.source());
            let causes: String = chain.map(|cause| format!(": {cause}")).collect();
            // With standard error gone there is nobody to tell.
            let _ = writeln!(io::stderr(), "{program}: {problem}{causes}");
            ExitCode::FAILURE
        }
    }
}

fn run<D: StorageDriver>(launch: Launch) -> Result<(), Problem> {
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(run_until_stopped::<D>(launch));
    // A blocking operation that hangs must not keep the process from ending.
    runtime.shutdown_background();
    ended
}

async fn run_until_stopped<D: StorageDriver>(launch: Launch) -> Result<(), Problem> {
    let stop = stop_signal()?;
    let registry_gone = end_of_pipe(launch.liveness)?;
    let listener = listen(&launch.socket)?;
    let server = Server::<D>::new(launch.nonce);
    if let Some(file) = &launch.configuration {
        server.configure(read_configuration(file)?).await?;
    }
    tracing::info!(driver = D::NAME, version = D::VERSION, "the driver serves");
    tokio::select! {
        ended = server.serve(listener, stop) => Ok(ended?),
        () = registry_gone => {
            tracing::warn!("the registry is gone, and so is its driver");
            Ok(())
        }
    }
}

/// Completes when the process is asked to stop.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop; finishing what is in flight");
    })
}

/// Completes when nobody holds the other end of the pipe any more; never without a pipe.
fn end_of_pipe(number: Option<RawFd>) -> io::Result<impl Future<Output = ()>> {
    let mut pipe = number.map(|number| adopt(number).and_then(pipe::Receiver::from_owned_fd)).transpose()?;
    Ok(async move {
        match &mut pipe {
            Some(pipe) => while pipe.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {},
            None => std::future::pending().await,
        }
    })
}

fn listen(socket: &Socket) -> Result<UnixListener, Problem> {
    let listener = match socket {
        Socket::Inherited(number) => inherited(*number)
            .map_err(|problem| format!("descriptor {number} is not a listening Unix socket: {problem}"))?,
        Socket::Path(path) => {
            bind(path).map_err(|problem| format!("the socket {} cannot be bound: {problem}", path.display()))?
        }
    };
    listener.set_nonblocking(true)?;
    Ok(UnixListener::from_std(listener)?)
}

fn inherited(number: RawFd) -> io::Result<StdListener> {
    let descriptor = adopt(number)?;
    if !rustix::net::sockopt::socket_acceptconn(&descriptor)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    let listener = StdListener::from(descriptor);
    listener.local_addr().map(|_| listener)
}

/// Binds `path`, for the user of this process alone, replacing the socket that a dead process left there.
fn bind(path: &Path) -> io::Result<StdListener> {
    if path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket()) {
        if StdStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves on it"));
        }
        std::fs::remove_file(path)?;
    }
    let usual = umask(Mode::from_raw_mode(0o177));
    let listener = StdListener::bind(path);
    umask(usual);
    listener
}
