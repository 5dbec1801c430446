//! The S3 driver on a server that is not ours: versitygw, which keeps objects as files. The conformance suite judges it as
//! a program, and docker pushes and pulls through the registry, sent to the server by redirects and not.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::docker::Docker;
use super::image::Image;
use super::process::{Server, bounded, run, server};
use super::registry::Site;
use super::report::Report;
use super::suite;
use super::tools::Go;
use super::workshop::Workshop;
use super::{conformance, replicas};
use crate::Outcome;

const GATEWAY: Go = Go { module: "github.com/versity/versitygw", version: "v1.8.0", commands: &["/cmd/versitygw"] };

const DRIVER: &str = "bulkhead-driver-s3";
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
    let Some(driver) = report.prepare("the S3 driver is built", || workshop.executable(DRIVER)) else { return };
    if let Some(suite) = report.prepare("the conformance suite", || suite::build(workshop)) {
        report.check("the S3 driver keeps the contract", || gateway.judge(workshop, &suite, &driver));
    }
    report.check("OCI conformance, S3 driver", || {
        conformance::judge(workshop, "conformance-s3", gateway.site(workshop, "conformance-s3", &driver, false)?)
    });
    report.check("two registries on one bucket serve each other's pushes", || {
        replicas::check(&gateway.site(workshop, "s3-replicas", &driver, false)?)
    });
    let docker =
        report.prepare("a Docker daemon", || Ok((Image::make(workshop)?, Docker::start(workshop, "s3-docker")?)));
    let Some((image, docker)) = docker else { return };
    for redirects in [true, false] {
        let name =
            format!("docker pushes and pulls through S3 {} redirects", if redirects { "with" } else { "without" });
        report.check(&name, || gateway.push_and_pull(workshop, &driver, &image, &docker, redirects));
    }
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

    fn judge(&self, workshop: &Workshop, suite: &Path, driver: &Path) -> Outcome<String> {
        let folder = workshop.folder("s3-suite")?;
        let (file, expected) = (folder.join("store.json"), folder.join("expected"));
        std::fs::write(&expected, EXPECTED_TO_FAIL)?;
        let parameters = self.parameters().map(|(name, value)| format!("{name:?}: {value:?}")).join(", ");
        std::fs::write(&file, format!("{{{parameters}}}"))?;
        let mut command = bounded(1800, suite);
        command.arg("run").arg("--spawn").arg(driver).arg("--config").arg(file);
        command.arg("--expect-fail").arg(expected);
        let told = run(command.args(["--profile", "registry-shared", "--jobs", "2"]))?;
        let last = told.lines().last().unwrap_or_default().to_owned();
        let is_kept = last.contains(" 0 failed, 0 skipped,") && last.contains("as was expected");
        if is_kept { Ok(last) } else { Err(told.into()) }
    }

    fn site(&self, workshop: &Workshop, purpose: &str, driver: &Path, redirects: bool) -> Outcome<Site> {
        Site::configured(workshop, purpose, self.configuration(driver, redirects))
    }

    fn configuration(&self, driver: &Path, redirects: bool) -> String {
        let parameters = self.parameters().map(|(name, value)| format!("    {name}: {value:?}\n")).concat();
        format!(
            "version: 0.1\nstorage:\n  redirect:\n    disable: {}\n  s3:\n{parameters}driver:\n  executable: {}\n",
            !redirects,
            driver.display()
        )
    }

    fn push_and_pull(
        &self,
        workshop: &Workshop,
        driver: &Path,
        image: &Image,
        docker: &Docker,
        redirects: bool,
    ) -> Outcome<String> {
        let site = self.site(workshop, "s3-registry", driver, redirects)?;
        let registry = site.start()?;
        let reference = format!("{}/debian/minbase:s3", registry.address);
        let seen = docker.push_and_pull(image, &reference)?;
        site.clear_away(registry)?;
        Ok(seen)
    }
}
