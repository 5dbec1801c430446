//! [`serve`]: the whole of a driver's `main`, from the first descriptor to the exit code.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::RawFd;
use std::process::ExitCode;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::descriptor::adopt;
use crate::driver::StorageDriver;
use crate::launch::{Launch, read_configuration};
use crate::listen::{listen_for_calls, listen_for_descriptors};
use crate::logs;
use crate::server::Server;

pub(crate) type Problem = Box<dyn std::error::Error + Send + Sync>;

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
    // Whoever can call finds the other socket there.
    let descriptor_socket = listen_for_descriptors(launch.descriptor_socket.as_ref())?;
    let listener = listen_for_calls(&launch.socket)?;
    let server = match descriptor_socket {
        Some(socket) => Server::<D>::with_descriptor_socket(launch.nonce, socket)?,
        None => Server::<D>::new(launch.nonce),
    };
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
