//! The arguments that say which driver is judged.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use driver_testsuite::{Launch, Target, Way};

/// Exactly one of `driver`, `spawn` and `attach`.
#[derive(Args)]
#[command(next_help_heading = "The driver")]
pub(super) struct TargetArguments {
    /// The driver whose executable is `bulkhead-driver-NAME` beside this program.
    #[arg(long, value_name = "NAME", group = "target", required = true)]
    driver: Option<String>,
    /// The driver that is this executable.
    #[arg(long, value_name = "PROGRAM", group = "target")]
    spawn: Option<PathBuf>,
    /// The driver that somebody runs, and has configured, at this socket.
    #[arg(long, value_name = "unix:PATH", group = "target", conflicts_with_all = ["params", "config"])]
    attach: Option<String>,
    /// An argument for the executable.
    #[arg(long = "arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// A parameter of the store. `{folder}` in the value becomes a folder that is empty when a store is first opened.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// A JSON file with an object of strings: more parameters of the store.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A variable of this process that the driver needs too.
    #[arg(long, value_name = "VARIABLE")]
    env: Vec<String>,
    /// Whether the driver inherits a listening socket or binds one itself.
    #[arg(long, value_enum, default_value = "inherit")]
    socket: Socket,
}

#[derive(Clone, Copy, ValueEnum)]
enum Socket {
    Inherit,
    Path,
}

impl TargetArguments {
    pub(super) fn target(&self) -> Result<Target, Box<dyn Error>> {
        if let Some(address) = &self.attach {
            return Ok(Target::Attached(socket_of("--attach", address)?));
        }
        let mut launch = Launch::new(self.program()?).by(match self.socket {
            Socket::Inherit => Way::Inherited,
            Socket::Path => Way::Path,
        });
        for argument in &self.arguments {
            launch = launch.argument(argument);
        }
        if let Some(file) = &self.config {
            launch = launch.configuration(file, read_config(file)?);
        }
        for param in &self.params {
            let parts = param.split_once('=').ok_or_else(|| format!("--param takes NAME=VALUE, not {param}"))?;
            launch = launch.parameter(parts.0, parts.1);
        }
        for name in &self.env {
            let value = std::env::var_os(name).ok_or_else(|| format!("--env {name}: there is no such variable"))?;
            launch = launch.variable(name, value);
        }
        Ok(launch.into())
    }

    fn program(&self) -> Result<PathBuf, Box<dyn Error>> {
        let program = match (&self.spawn, &self.driver) {
            (Some(program), _) => program.clone(),
            (None, name) => {
                let name = format!("bulkhead-driver-{}", name.as_deref().unwrap_or_default());
                std::env::current_exe()?.parent().unwrap_or(Path::new(".")).join(name)
            }
        };
        let found = program.canonicalize();
        found.map_err(|problem| format!("the executable {} cannot be found: {problem}", program.display()).into())
    }
}

/// The socket that `option` names.
pub(super) fn socket_of(option: &str, address: &str) -> Result<PathBuf, String> {
    let path = address.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path));
    path.map(PathBuf::from).ok_or_else(|| format!("{option} takes unix:PATH, not {address}"))
}

fn read_config(file: &Path) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|problem| format!("{shown} cannot be read: {problem}"))?;
    serde_json::from_str(&text).map_err(|problem| format!("{shown} is not a JSON object of strings: {problem}").into())
}
