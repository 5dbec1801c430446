//! What a person sees of a run while it goes on: on a terminal one line that is written over, with what is bad above it.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};
use driver_testsuite::report::{CaseReport, Report, Verdict};
use driver_testsuite::{Demand, Progress};
use indicatif::{ProgressBar, ProgressStyle};

pub(super) struct Screen {
    /// Draws nothing where standard error is no terminal.
    bar: ProgressBar,
    verbose: bool,
    /// Standard output belongs to a script.
    piped: bool,
}

impl Screen {
    pub(super) fn new(verbose: bool, piped: bool) -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{pos} of {len}  {wide_msg}") {
            bar.set_style(style);
        }
        Screen { bar, verbose, piped }
    }

    pub(super) fn show(&self, progress: &Progress<'_>) {
        match *progress {
            Progress::Case { report, number, all } => {
                self.bar.set_length(all as u64);
                self.bar.set_position(number as u64);
                self.bar.set_message(report.id.clone());
                if self.verbose || matters(report) {
                    let style = style_of(report);
                    self.say(format_args!("{style}{report}{style:#}"));
                }
            }
            Progress::Measuring(operation) => self.bar.set_message(format!("measuring {operation}")),
        }
    }

    pub(super) fn finish(&self, report: &Report) {
        self.bar.finish_and_clear();
        if let Some(note) = report.note() {
            let style = AnsiColor::Yellow.on_default();
            self.say(format_args!("{style}{note}{style:#}"));
        }
        let colour = match (report.is_compliant(), report.is_kept()) {
            (true, _) => AnsiColor::Green,
            (false, true) => AnsiColor::Yellow,
            (false, false) => AnsiColor::Red,
        };
        let style = colour.on_default().bold();
        self.say(format_args!("{style}{}{style:#}", report.summary()));
        if !report.is_kept() && !self.piped {
            self.reproductions(report);
        }
    }

    fn reproductions(&self, report: &Report) {
        let bad = report.cases.iter().filter(|case| case.is_bad());
        for evidence in bad.filter_map(|case| case.evidence.as_ref()) {
            self.say(format_args!("  {}", evidence.reproduce));
        }
    }

    /// A line above the one that is written over, coloured where the stream's reader can see colours.
    fn say(&self, line: impl Display) {
        self.bar.suspend(|| if self.piped { anstream::eprintln!("{line}") } else { anstream::println!("{line}") });
    }
}

/// A failure of what need not be is told too; that something optional is not offered is no news.
fn matters(case: &CaseReport) -> bool {
    case.verdict.is_bad() || (matches!(case.verdict, Verdict::Skipped(_)) && case.demand == Demand::Must)
}

fn style_of(case: &CaseReport) -> Style {
    match case.verdict {
        _ if case.is_bad() => AnsiColor::Red.on_default(),
        Verdict::Failed(_) | Verdict::Skipped(_) | Verdict::ExpectedFailure(_) => AnsiColor::Yellow.on_default(),
        _ => Style::new(),
    }
}
