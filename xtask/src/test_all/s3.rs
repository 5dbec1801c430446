//! The S3 driver on a server that is not ours: versitygw, which keeps objects as files.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::cloud::Cloud;
use super::process::{Server, server};
use super::report::Report;
use super::tools::Go;
use super::workshop::Workshop;
use crate::Outcome;

const GATEWAY: Go = Go { module: "github.com/versity/versitygw", version: "v1.8.0", commands: &["/cmd/versitygw"] };

const START_LIMIT: Duration = Duration::from_secs(30);
const BUCKET: &str = "registry";
const ACCESS_KEY: &str = "test-all";
const SECRET_KEY: &str = "a-secret-of-test-all";
/// The server cannot replace an object whose name has 240 bytes or more.
const EXPECTED_TO_FAIL: &str = "paths/longest\n";
/// Small, so that contents of the tests have several parts.
const CHUNK: u64 = 5 << 20;

pub(super) fn check(workshop: &Workshop, report: &mut Report) {
    let Some(gateway) = report.prepare("versitygw", || Gateway::start(workshop)) else { return };
    let parameters = gateway.parameters().into();
    let expected_to_fail = EXPECTED_TO_FAIL;
    let cloud = Cloud { driver: "s3", parameters, expected_to_fail, jobs: 2, level: "full", workshop };
    cloud.check(report);
    cloud.check_registries(report);
}

/// A running server with one bucket.
struct Gateway {
    address: String,
    /// Stopped when the last field of it is dropped.
    _server: Server,
}

impl Gateway {
    fn start(workshop: &Workshop) -> Outcome<Gateway> {
        let program = GATEWAY.build(workshop)?.join("versitygw");
        let folder = workshop.folder("s3-objects")?;
        std::fs::create_dir(folder.join(BUCKET))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = server(program);
        command.env("ROOT_ACCESS_KEY", ACCESS_KEY).env("ROOT_SECRET_KEY", SECRET_KEY);
        command.args(["--port", &address, "--quiet", "posix"]).arg(folder);
        let mut server = Server::start(&mut command, &workshop.log("s3-gateway"))?;
        let answers = |_: &str| TcpStream::connect(&address).ok();
        server.wait_for("the S3 server's start", START_LIMIT, answers)?;
        Ok(Gateway { address, _server: server })
    }

    fn parameters(&self) -> [(&'static str, String); 5] {
        [
            ("bucket", BUCKET.to_owned()),
            ("regionendpoint", format!("http://{}", self.address)),
            ("accesskey", ACCESS_KEY.to_owned()),
            ("secretkey", SECRET_KEY.to_owned()),
            ("chunksize", CHUNK.to_string()),
        ]
    }
}
