//! Programs that are not Rust's, installed when they are missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use super::process::{bounded, run};
use super::workshop::Workshop;
use crate::Outcome;

/// A program of a Debian package.
pub(super) struct Debian {
    pub(super) program: &'static str,
    pub(super) package: &'static str,
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Installs the packages of the programs that are missing.
pub(super) fn require(tools: &[Debian]) -> Outcome {
    let missing: Vec<_> = tools.iter().filter(|tool| !is_there(tool.program)).map(|tool| tool.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    refresh_package_lists();
    run(bounded(900, "apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(&missing))
    .map_err(|problem| format!("install {} by hand, or run this as root on Debian: {problem}", missing.join(" ")))?;
    Ok(())
}

/// Old lists are good enough when new ones cannot be had; the installation says so otherwise.
fn refresh_package_lists() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _old_lists_do = run(bounded(300, "apt-get").arg("update"));
    });
}

/// Commands of a Go module, at one version.
pub(super) struct Go {
    pub(super) module: &'static str,
    pub(super) version: &'static str,
    pub(super) commands: &'static [&'static str],
}

impl Go {
    /// Builds the commands once and gives the folder that has them. They are built inside a module of our own, since Go
    /// installs no foreign module by name that replaces one of its dependencies.
    pub(super) fn build(&self, workshop: &Workshop) -> Outcome<PathBuf> {
        let folder = workshop.kept(&format!("{}-{}", self.module.rsplit('/').next().unwrap_or_default(), self.version));
        let done = folder.join("done");
        if done.exists() {
            return Ok(folder);
        }
        if !is_there("go") {
            return Err("Go is missing, and Debian's is older than the module needs: install Go 1.26 or newer".into());
        }
        self.compile(&folder)?;
        std::fs::write(done, "")?;
        Ok(folder)
    }

    fn compile(&self, folder: &Path) -> Outcome {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("go.mod"), "module tools\n")?;
        let wanted = self.commands.iter().map(|command| format!("{}{command}", self.module));
        let go = |words: &[&str]| -> Command {
            let mut command = bounded(1500, "go");
            command.args(words).current_dir(folder).env("GOFLAGS", "-mod=mod").env("CGO_ENABLED", "0");
            command
        };
        run(go(&["get"]).args(wanted.clone().map(|package| format!("{package}@{}", self.version))))?;
        run(go(&["build", "-o"]).arg(folder).args(wanted))?;
        Ok(())
    }
}

/// Packages of npm, at one version each.
pub(super) struct Npm {
    pub(super) name: &'static str,
    pub(super) packages: &'static [&'static str],
}

impl Npm {
    /// Installs the packages once and gives the folder that has them below `node_modules`.
    pub(super) fn install(&self, workshop: &Workshop) -> Outcome<PathBuf> {
        let folder = workshop.kept(&format!("{}-{}", self.name, self.packages.join("-").replace('@', "-")));
        let done = folder.join("done");
        if done.exists() {
            return Ok(folder);
        }
        require(&[Debian { program: "npm", package: "npm" }])?;
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("package.json"), "{}")?;
        let mut install = bounded(900, "npm");
        install.args(["install", "--no-audit", "--no-fund", "--no-save", "--foreground-scripts"]).args(self.packages);
        run(install.current_dir(&folder))?;
        std::fs::write(done, "")?;
        Ok(folder)
    }
}
