//! A report as a folder of files: for people, for build servers, and to be compared later.

use std::fs;
use std::io;
use std::path::Path;

use super::{CaseReport, Evidence, Report};

const TRANSCRIPTS: &str = "transcripts";

impl Report {
    /// Writes every form of the report into `folder`, replacing those of an earlier run.
    pub fn write_to(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let write = |name: &str, text: String| fs::write(folder.join(name), text);
        write("report.json", self.to_json()?)?;
        write("junit.xml", self.to_junit().map_err(io::Error::other)?)?;
        write("report.html", self.to_html())?;
        write("SCORECARD.md", self.to_scorecard())?;
        write("badge.svg", self.to_badge())?;
        self.write_transcripts(&folder.join(TRANSCRIPTS))
    }

    /// A file for each failure, with a call on each line. There is no folder without failures.
    fn write_transcripts(&self, folder: &Path) -> io::Result<()> {
        forget(folder)?;
        for (case, evidence) in self.cases.iter().filter_map(|case| Some((case, case.evidence.as_ref()?))) {
            fs::create_dir_all(folder)?;
            fs::write(folder.join(case.transcript_name()), evidence.lines()?)?;
        }
        Ok(())
    }
}

impl CaseReport {
    /// The name of the file with its calls.
    fn transcript_name(&self) -> String {
        format!("{}.jsonl", self.id.replace('/', "."))
    }
}

impl Evidence {
    fn lines(&self) -> serde_json::Result<String> {
        self.transcript.iter().map(|call| Ok(serde_json::to_string(call)? + "\n")).collect()
    }
}

/// Removes the transcripts of an earlier run, which would be taken for failures of this one.
fn forget(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            fs::remove_file(path)?;
        }
    }
    // What somebody else put there stays.
    let _ = fs::remove_dir(folder);
    Ok(())
}
