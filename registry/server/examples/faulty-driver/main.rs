//! A storage driver for the tests of the registry. The name it is started by says what is wrong with it, or special.

mod redirecting;

use std::env;
use std::error::Error;
use std::fs::{read_dir, read_link};
use std::io::{Write, stderr};
use std::path::Path;
use std::process::ExitCode;

use storagedriver_proto::environment::{NONCE, SOCKET};
use storagedriver_proto::handshake::handshake_server::{Handshake, HandshakeServer};
use storagedriver_proto::handshake::{HelloRequest, HelloResponse};
use storagedriver_proto::v1alpha1::PACKAGE;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

/// A variable that cargo gives to every test, and so to the registry that a test is.
const DECLARED: &str = "CARGO_MANIFEST_DIR";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let program = env::args().next().unwrap_or_default();
    let name = Path::new(&program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name.strip_prefix("bulkhead-driver-") {
        Some("filesystem") => return Ok(driver_kit::serve::<driver_filesystem::Filesystem>()),
        Some("redirecting") => return Ok(driver_kit::serve::<redirecting::Redirecting>()),
        Some("crashing") => writeln!(stderr(), "the disk is on fire")?,
        Some("inspected") => inspect()?,
        Some("curious") if env::var_os(DECLARED).is_some() => inspect()?,
        Some("curious") => greet(HelloResponse { environment: vec![DECLARED.to_owned()], ..greeting()? })?,
        Some("foreign") => greet(HelloResponse { protocols: vec!["storagedriver.v9".to_owned()], ..greeting()? })?,
        Some("impostor") => greet(HelloResponse { nonce: vec![0].into(), ..greeting()? })?,
        _ => writeln!(stderr(), "no fault is called {name}")?,
    }
    Ok(ExitCode::from(3))
}

/// Says what the process was given: its variables, descriptors and arguments.
fn inspect() -> Result<(), Box<dyn Error>> {
    let names = env::vars().map(|(name, _)| format!("variable {name}"));
    let mut given: Vec<String> = names.chain(env::args().skip(1).map(|text| format!("argument {text}"))).collect();
    for entry in read_dir("/proc/self/fd")? {
        let entry = entry?;
        // The folder being read is the one descriptor that is our own.
        if !read_link(entry.path()).is_ok_and(|target| target.ends_with("fd")) {
            given.push(format!("descriptor {}", entry.file_name().display()));
        }
    }
    Ok(writeln!(stderr(), "{}", given.join("\n"))?)
}

/// What a driver without faults would say.
fn greeting() -> Result<HelloResponse, Box<dyn Error>> {
    let nonce = env::var(NONCE)?;
    let bytes = (0..nonce.len()).step_by(2).map(|at| u8::from_str_radix(&nonce[at..at + 2], 16));
    Ok(HelloResponse {
        driver_name: "faulty".to_owned(),
        driver_version: "0".to_owned(),
        protocols: vec![PACKAGE.to_owned()],
        nonce: bytes.collect::<Result<Vec<u8>, _>>()?.into(),
        instance: 1,
        environment: Vec::new(),
    })
}

struct Greeter(HelloResponse);

#[tonic::async_trait]
impl Handshake for Greeter {
    async fn hello(&self, _: Request<HelloRequest>) -> Result<Response<HelloResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }
}

/// Answers Hello and nothing else, until it is killed.
#[tokio::main(flavor = "current_thread")]
async fn greet(greeting: HelloResponse) -> Result<(), Box<dyn Error>> {
    let listener = UnixListener::bind(env::var(SOCKET)?)?;
    let server = tonic::transport::Server::builder().add_service(HandshakeServer::new(Greeter(greeting)));
    Ok(server.serve_with_incoming(UnixListenerStream::new(listener)).await?)
}
