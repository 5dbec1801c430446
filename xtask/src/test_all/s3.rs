//! The S3 driver on a server that is not ours: versitygw, which keeps objects as files.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cloud::Cloud;
use super::process::{Server, bounded, run, server};
use super::report::Report;
use super::tools::{Debian, Go, require};
use super::workshop::Workshop;
use super::{requests, suite};
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
    report.check("the s3 driver and its redirects over TLS, with an authority of one's own", || check_tls(workshop));
}

pub(super) fn check_requests(workshop: &Workshop, report: &mut Report) {
    let gateway = report.prepare("versitygw", || Gateway::start_with(workshop, "s3-requests", None));
    let Some(gateway) = gateway else { return };
    report.check("what registries ask of the s3 driver and of its server is documented", || {
        requests::check(workshop, &gateway.parameters(), &gateway.access_log)
    });
}

/// A server whose certificate nobody knows but who is told of it.
fn check_tls(workshop: &Workshop) -> Outcome<String> {
    let certificate = Certificate::make(&workshop.folder("s3-tls")?)?;
    let gateway = Gateway::start_with(workshop, "s3-tls", Some(&certificate))?;
    let mut command = bounded(300, suite::build(workshop)?);
    command.env(AUTHORITIES, &certificate.file).args([
        "run",
        "--env",
        AUTHORITIES,
        "--filter",
        "redirects/",
        "--spawn",
    ]);
    command.arg(workshop.executable("bulkhead-driver-s3")?);
    command.args(gateway.parameters().iter().map(|(name, value)| format!("--param={name}={value}")));
    let told = run(&mut command)?;
    let last = told.lines().last().unwrap_or_default().to_owned();
    if last.starts_with("4 passed, 0 failed, 0 skipped,") { Ok(last) } else { Err(told.into()) }
}

/// Names a file of authorities for all that this library verifies.
const AUTHORITIES: &str = "SSL_CERT_FILE";

/// A certificate for this host that is its own authority.
struct Certificate {
    file: PathBuf,
    key: PathBuf,
}

impl Certificate {
    fn make(folder: &Path) -> Outcome<Certificate> {
        require(&[Debian { program: "openssl", package: "openssl" }])?;
        let certificate = Certificate { file: folder.join("certificate.pem"), key: folder.join("key.pem") };
        let mut command = bounded(60, "openssl");
        command.args(["req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=test-all"]);
        command.args([
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        run(command.arg("-keyout").arg(&certificate.key).arg("-out").arg(&certificate.file))?;
        Ok(certificate)
    }
}

/// A running server with one bucket.
struct Gateway {
    url: String,
    /// Where it notes each request.
    access_log: PathBuf,
    /// Stopped when the last field of it is dropped.
    _server: Server,
}

impl Gateway {
    fn start(workshop: &Workshop) -> Outcome<Gateway> {
        Self::start_with(workshop, "s3", None)
    }

    fn start_with(workshop: &Workshop, purpose: &str, certificate: Option<&Certificate>) -> Outcome<Gateway> {
        let program = GATEWAY.build(workshop)?.join("versitygw");
        let folder = workshop.folder(&format!("{purpose}-objects"))?;
        std::fs::create_dir(folder.join(BUCKET))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = server(program);
        command.env("ROOT_ACCESS_KEY", ACCESS_KEY).env("ROOT_SECRET_KEY", SECRET_KEY);
        if let Some(Certificate { file, key }) = certificate {
            command.arg("--cert").arg(file).arg("--key").arg(key);
        }
        let access_log = folder.with_extension("access");
        command.arg("--access-log").arg(&access_log);
        command.args(["--port", &address, "--quiet", "posix"]).arg(folder);
        let mut server = Server::start(&mut command, &workshop.log(&format!("{purpose}-gateway")))?;
        let answers = |_: &str| TcpStream::connect(&address).ok();
        server.wait_for("the S3 server's start", START_LIMIT, answers)?;
        let scheme = if certificate.is_some() { "https" } else { "http" };
        Ok(Gateway { url: format!("{scheme}://{address}"), access_log, _server: server })
    }

    fn parameters(&self) -> [(&'static str, String); 5] {
        [
            ("bucket", BUCKET.to_owned()),
            ("regionendpoint", self.url.clone()),
            ("accesskey", ACCESS_KEY.to_owned()),
            ("secretkey", SECRET_KEY.to_owned()),
            ("chunksize", CHUNK.to_string()),
        ]
    }
}
