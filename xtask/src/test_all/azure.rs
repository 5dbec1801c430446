//! The Azure driver on Azurite, the emulator of the service's own makers, which keeps objects in memory.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cloud::Cloud;
use super::process::{Server, bounded, run, server};
use super::report::Report;
use super::tools::Npm;
use super::workshop::Workshop;
use crate::Outcome;

/// With the Node that it needs, which is newer than Debian's.
const AZURITE: Npm = Npm { name: "azurite", packages: &["azurite@3.37.0", "node@22"] };
const NODE: &str = "node_modules/node/bin/node";
const MAIN: &str = "node_modules/azurite/dist/src/blob/main.js";

const START_LIMIT: Duration = Duration::from_secs(90);
const CONTAINER: &str = "registry";
const ACCOUNT: &str = "devstoreaccount1";
/// Printed in the emulator's documentation, and the same everywhere.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// Small, so that contents of the tests have several blocks.
const CHUNK: u64 = 4 << 20;

pub(super) fn check(workshop: &Workshop, report: &mut Report) {
    let Some(azurite) = report.prepare("Azurite", || Azurite::start(workshop)) else { return };
    report.check("another library sees what the driver writes, and the other way round", || azurite.compare());
    let parameters = azurite.parameters().into();
    // A listing costs the emulator a sort of all that it has, so that cases with many thousands of objects take it hours.
    let cloud = Cloud { driver: "azure", parameters, expected_to_fail: "", jobs: 1, level: "quick", workshop };
    cloud.check(report);
    cloud.check_registries(report);
}

/// A running emulator with a container.
struct Azurite {
    folder: PathBuf,
    address: String,
    /// Stopped when the last field of it is dropped.
    _server: Server,
}

impl Azurite {
    fn start(workshop: &Workshop) -> Outcome<Azurite> {
        let folder = AZURITE.install(workshop)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = server(folder.join(NODE));
        command.arg(folder.join(MAIN)).args(["--inMemoryPersistence", "--silent", "--disableTelemetry"]);
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &address.port().to_string()]);
        command.current_dir(workshop.folder("azurite")?);
        let mut server = Server::start(&mut command, &workshop.log("azurite"))?;
        server.wait_for("Azurite's start", START_LIMIT, |_| TcpStream::connect(address).ok())?;
        let azurite = Azurite { folder, address: address.to_string(), _server: server };
        azurite.make_container(CONTAINER)?;
        azurite.make_container("oracle")?;
        Ok(azurite)
    }

    fn make_container(&self, name: &str) -> Outcome {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/test_all/azurite.js");
        let mut command = bounded(30, self.folder.join(NODE));
        run(command.arg(script).args([&self.address, ACCOUNT, KEY, name])).map(drop)
    }

    fn endpoint(&self) -> String {
        format!("http://{}/{ACCOUNT}", self.address)
    }

    fn parameters(&self) -> [(&'static str, String); 5] {
        [
            ("container", CONTAINER.to_owned()),
            ("endpoint", self.endpoint()),
            ("accountname", ACCOUNT.to_owned()),
            ("accountkey", KEY.to_owned()),
            ("chunksize", CHUNK.to_string()),
        ]
    }

    /// The driver's own tests against this server.
    fn compare(&self) -> Outcome<String> {
        let mut tests = Command::new(env!("CARGO"));
        tests.args(["test", "--quiet", "--package", "driver-azure", "--features", "azurite", "--test", "azurite"]);
        tests.env("AZURITE_ENDPOINT", self.endpoint()).env("AZURITE_CONTAINER", "oracle");
        tests.env("AZURITE_ACCOUNT", ACCOUNT).env("AZURITE_KEY", KEY);
        let told = run(tests.current_dir(env!("CARGO_MANIFEST_DIR")))?;
        Ok(told.lines().rfind(|line| line.starts_with("test result")).unwrap_or_default().to_owned())
    }
}
