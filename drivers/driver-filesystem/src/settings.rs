//! [`Settings`]: the parameters an operator gives, named and bounded as those of distribution's filesystem driver.

use std::path::PathBuf;

use driver_kit::{Parameters, Result};

const THREADS_DEFAULT: usize = 100;
const THREADS_MIN: usize = 25;
/// The runtime has no more threads for work that blocks.
const THREADS_MAX: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) location: PathBuf,
    /// Other driver processes may use the store at the same time.
    pub(crate) shared: bool,
    /// Nothing is written, not even a lock.
    pub(crate) read_only: bool,
    /// How many operations may block at once.
    pub(crate) threads: usize,
}

impl Settings {
    /// A reader takes no lock, so others may write what it reads.
    pub(crate) fn may_be_written_by_others(&self) -> bool {
        self.shared || self.read_only
    }

    pub(crate) fn take(parameters: &mut Parameters) -> Result<Self> {
        let wanted = parameters.take_parsed("maxthreads")?.unwrap_or(THREADS_DEFAULT);
        let threads = wanted.clamp(THREADS_MIN, THREADS_MAX);
        if threads != wanted {
            tracing::warn!("maxthreads is {threads}: {wanted} is not from {THREADS_MIN} to {THREADS_MAX}");
        }
        Ok(Settings {
            location: PathBuf::from(parameters.take_required("rootdirectory")?),
            shared: parameters.take_flag("shared")?,
            read_only: parameters.take_flag("readonly")?,
            threads,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(rows: &[(&str, &str)]) -> Result<Settings> {
        Settings::take(&mut Parameters::new(rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))))
    }

    #[test]
    fn the_root_is_enough() {
        let expected = Settings { location: "/srv".into(), shared: false, read_only: false, threads: 100 };
        assert_eq!(take(&[("rootdirectory", "/srv")]).unwrap(), expected);
    }

    #[test]
    fn threads_stay_within_what_is_sensible() {
        for (given, used) in [("1", 25), ("25", 25), ("300", 300), ("100000", 500)] {
            assert_eq!(take(&[("rootdirectory", "/srv"), ("maxthreads", given)]).unwrap().threads, used, "{given}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let rows = [
            (vec![], "the parameter rootdirectory is missing"),
            (vec![("rootdirectory", "/srv"), ("shared", "yes")], "the parameter shared cannot be read"),
            (vec![("rootdirectory", "/srv"), ("maxthreads", "many")], "the parameter maxthreads cannot be read"),
        ];
        for (parameters, sentence) in rows {
            let refused = take(&parameters).unwrap_err().to_string();
            assert!(refused.starts_with(sentence), "{refused}");
        }
    }
}
