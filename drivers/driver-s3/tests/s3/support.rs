//! A driver process for each test, on a server of its own.

use driver_testsuite::{Launch, Running};
use tonic::Status;

use crate::server::Server;

/// The size of a part in these tests.
pub(crate) const PART: usize = 5 << 20;

/// Keeps the driver from looking for old uploads, where requests are counted.
pub(crate) const NO_SWEEP: (&str, &str) = ("uploadmaxdays", "0");

pub(crate) type Reply<T> = Result<T, Status>;

/// A driver on `server`.
pub(crate) async fn start(server: &Server, parameters: &[(&str, &str)]) -> Running {
    try_start(server.launch(), parameters).await.unwrap()
}

pub(crate) async fn try_start(launch: Launch, parameters: &[(&str, &str)]) -> Reply<Running> {
    let launch = parameters.iter().fold(launch, |launch, (name, value)| launch.parameter(name, value));
    Running::try_start(&launch).await
}
