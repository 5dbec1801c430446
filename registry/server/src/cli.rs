//! The command line. It knows words and files, and leaves the work to the modules it calls.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, Options, parse_duration};
use crate::embedded::EmbeddedDriver;
use crate::logs;
use crate::start::{self, StartError};

/// A container registry whose storage is a plug.
#[derive(Parser)]
#[command(name = "bulkhead", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the registry; without a configuration on 127.0.0.1:5000, keeping its data in ./data.
    Serve {
        #[command(flatten)]
        settings: Settings,
        /// Where to listen, such as 0.0.0.0:5000; wins over the configuration.
        #[arg(long, value_name = "ADDRESS")]
        addr: Option<String>,
    },
    /// Be the driver of a registry: started by `serve`, or by you for a registry that attaches to it.
    Driver {
        name: EmbeddedDriver,
        /// --listen unix:PATH --config FILE, for a driver that you start.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Remove uploads that nobody has continued for long.
    PurgeUploads {
        #[command(flatten)]
        settings: Settings,
        /// Only uploads without a change for this long; without it, as the configuration says.
        #[arg(long, value_name = "TIME", value_parser = duration)]
        older_than: Option<Duration>,
        /// Name them, and remove none.
        #[arg(long)]
        dry_run: bool,
    },
    /// Make the index of referrers from the manifests: for a store that another registry has written.
    RebuildReferrers {
        #[command(flatten)]
        settings: Settings,
    },
    /// Say whether a configuration would do, and start nothing unless it is told to.
    CheckConfig {
        #[command(flatten)]
        settings: Settings,
        /// Also have the driver judge its parameters: start it, let it open its store as `serve` would, and end it.
        #[arg(long)]
        driver: bool,
    },
}

/// Where a command learns what it works on.
#[derive(Args)]
struct Settings {
    /// The YAML file with the settings.
    config: Option<PathBuf>,
    /// The folder of the filesystem driver; wins over the configuration.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

/// Why a command failed; each kind has an exit code of its own.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// What the shell gives to a command that was used wrongly, as clap does.
const EXIT_USAGE: u8 = 2;

pub(crate) fn run() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(code) => code,
        Err(failure) => {
            complain(&failure);
            failure.code()
        }
    }
}

impl Command {
    fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Command::Serve { settings, addr } => start::serve(settings.load(addr)?)?,
            Command::Driver { name, arguments } => return Ok(name.serve(arguments)),
            Command::PurgeUploads { settings, older_than, dry_run } => {
                start::purge_uploads(settings.load(None)?, older_than, dry_run)?;
            }
            Command::RebuildReferrers { settings } => start::rebuild_referrers(settings.load(None)?)?,
            Command::CheckConfig { settings, driver } => {
                let named = settings.config.as_ref().map_or("the configuration".into(), |file| file.to_string_lossy());
                let config = settings.read(None)?;
                let mut sentence = format!("{named} would do, with the driver {}", config.driver.name);
                if driver {
                    logs::begin(&config.log);
                    start::check_driver(config)?;
                    sentence.push_str(", which could open its store");
                }
                say(&sentence);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Settings {
    fn read(&self, addr: Option<String>) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref(), &Options { addr, data: self.data.clone() })
    }

    /// Reads the configuration and has the log written as it says.
    fn load(&self, addr: Option<String>) -> Result<Config, ConfigError> {
        let config = self.read(addr)?;
        logs::begin(&config.log);
        for setting in &config.ignored {
            tracing::warn!(setting, "this setting has no meaning in this registry");
        }
        Ok(config)
    }
}

impl Failure {
    fn code(&self) -> ExitCode {
        match self {
            Failure::Config(_) => ExitCode::from(EXIT_USAGE),
            Failure::Start(_) => ExitCode::FAILURE,
        }
    }
}

/// Prints an error and what is behind it as one sentence. A closed terminal is no reason to fail once more.
fn complain(failure: &Failure) {
    let mut sentence = format!("bulkhead: {failure}");
    let mut cause = failure.source();
    while let Some(error) = cause {
        sentence = format!("{sentence}: {error}");
        cause = error.source();
    }
    let _closed = writeln!(std::io::stderr(), "{sentence}");
}

/// Prints for the person at the terminal.
pub(crate) fn say(text: &str) {
    let _closed = writeln!(std::io::stdout(), "{text}");
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("write a time such as 168h or 1h30m")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_words_fit_together() {
        Cli::command().debug_assert();
    }
}
