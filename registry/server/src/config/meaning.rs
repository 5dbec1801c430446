//! [`Config`]: what a configuration means, as the settings of each part of the registry, with every default in its place.

use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::driver::DriverSettings;
use crate::http::{Address, Limits, Settings};
use crate::storage;

use super::ConfigError;
use super::section::Section;
use super::{driver, http, validation};

/// Everything that an operator can decide.
pub(crate) struct Config {
    pub(crate) log: Log,
    pub(crate) address: Address,
    pub(crate) limits: Limits,
    pub(crate) http: Settings,
    pub(crate) store: storage::Settings,
    pub(crate) purge: Purge,
    pub(crate) driver: DriverSettings,
    /// Settings of distribution that were written and have nothing to set here.
    pub(crate) ignored: Vec<&'static str>,
}

pub(crate) struct Log {
    pub(crate) level: LevelFilter,
    pub(crate) format: LogFormat,
    /// One line for each request.
    pub(crate) requests: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// The purge of uploads that nobody continues.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purge {
    pub(crate) enabled: bool,
    pub(crate) age: Duration,
    pub(crate) interval: Duration,
    pub(crate) dry_run: bool,
}

const DEFAULT_PURGE_AGE: Duration = Duration::from_hours(168);
const DEFAULT_PURGE_INTERVAL: Duration = Duration::from_hours(24);

impl Config {
    /// Reads everything below `root`. `standalone` says that there is no file, so the store may be the default one.
    pub(super) fn read(mut root: Section, standalone: bool) -> Result<Self, ConfigError> {
        let mut ignored = root.ignore(&[("health", "health"), ("redis", "redis")]);
        let log = Log::read(root.section("log")?)?;
        let mut storage = root.section("storage")?;
        ignored.extend(storage.ignore(&[("cache", "storage.cache"), ("tag", "storage.tag")]));
        let mut maintenance = storage.section("maintenance")?;
        let purge = Purge::read(maintenance.section("uploadpurging")?)?;
        let mut http = root.section("http")?;
        ignored.extend(http::ignored(&mut http));
        let (address, limits) = (http::address(&mut http)?, http::limits(&mut http)?);
        let settings = http::settings(http, &mut storage, maintenance, &mut root)?;
        let store = validation::settings(root.section("validation")?, root.section("cache")?)?;
        let driver = root.section("driver")?;
        // Before a driver is missed: `storage` may be there, misspelt.
        root.finish()?;
        let driver = driver::settings(driver, storage, standalone)?;
        Ok(Config { log, address, limits, http: settings, store, purge, driver, ignored })
    }
}

impl Log {
    fn read(mut section: Section) -> Result<Self, ConfigError> {
        let level = section.value("level", "error, warn, info or debug", level)?.unwrap_or(LevelFilter::INFO);
        let format = section.value("formatter", "text or json", log_format)?.unwrap_or(LogFormat::Text);
        let requests = !section.section("accesslog")?.only_flag("disabled", false)?;
        section.ignore(&[("fields", "log.fields")]);
        section.finish()?;
        Ok(Log { level, format, requests })
    }
}

fn level(text: &str) -> Option<LevelFilter> {
    let known = ["error", "warn", "info", "debug"].contains(&text);
    known.then(|| text.parse().ok()).flatten()
}

fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

impl Purge {
    fn read(mut section: Section) -> Result<Self, ConfigError> {
        let purge = Purge {
            enabled: section.flag("enabled")?.unwrap_or(true),
            age: section.duration("age")?.unwrap_or(DEFAULT_PURGE_AGE),
            interval: section.duration("interval")?.unwrap_or(DEFAULT_PURGE_INTERVAL),
            dry_run: section.flag("dryrun")?.unwrap_or(false),
        };
        section.finish()?;
        Ok(purge)
    }
}
