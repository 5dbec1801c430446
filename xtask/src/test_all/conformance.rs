//! The official conformance suite of the OCI distribution-spec.
//!
//! It ends with 0 although something was skipped or switched off, so its results file decides.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::process::{bounded, run};
use super::registry::Site;
use super::report::Report;
use super::tools::Go;
use super::workshop::{Workshop, empty};
use crate::Outcome;

const SUITE: Go = Go {
    module: "github.com/opencontainers/distribution-spec/conformance",
    version: "v0.0.0-20260831232431-97274622c111",
    commands: &[""],
};

/// A suite that finds nothing to test passes too. The suite itself also counts the groups of its checks, 1032 in all.
const CHECKS_MIN: usize = 830;

/// The suite pushes manifests whose layers it never pushes, which a registry refuses unless it is told otherwise.
const SPARSE: (&str, &str) = ("REGISTRY_VALIDATION_DISABLED", "true");

/// Every switch of the suite.
const SWITCHES: [&str; 31] = [
    "OCI_API_PING",
    "OCI_API_PULL",
    "OCI_API_PUSH",
    "OCI_API_BLOBS_ATOMIC",
    "OCI_API_BLOBS_DELETE",
    "OCI_API_BLOBS_DIGEST_HEADER",
    "OCI_API_BLOBS_MOUNT_ANONYMOUS",
    "OCI_API_BLOBS_UPLOAD_CANCEL",
    "OCI_API_MANIFESTS_ATOMIC",
    "OCI_API_MANIFESTS_DELETE",
    "OCI_API_MANIFESTS_DIGEST_HEADER",
    "OCI_API_MANIFESTS_TAG_PARAM",
    "OCI_API_TAGS_ATOMIC",
    "OCI_API_TAGS_DELETE",
    "OCI_API_TAGS_LIST",
    "OCI_API_REFERRER",
    "OCI_DATA_IMAGE",
    "OCI_DATA_INDEX",
    "OCI_DATA_INDEX_LIST",
    "OCI_DATA_SPARSE",
    "OCI_DATA_ARTIFACT",
    "OCI_DATA_SUBJECT",
    "OCI_DATA_SUBJECT_MISSING",
    "OCI_DATA_ARTIFACT_LIST",
    "OCI_DATA_SUBJECT_LIST",
    "OCI_DATA_DATA_FIELD",
    "OCI_DATA_NONDISTRIBUTABLE",
    "OCI_DATA_CUSTOM_FIELDS",
    "OCI_DATA_NO_LAYERS",
    "OCI_DATA_EMPTY_BLOB",
    "OCI_DATA_SHA512",
];

pub(super) fn check(workshop: &Workshop, report: &mut Report) {
    for driver in ["filesystem", "memory"] {
        let purpose = format!("conformance-{driver}");
        report.check(&format!("OCI conformance, {driver} driver"), || {
            judge(workshop, &purpose, Site::new(workshop, &purpose, driver)?)
        });
    }
}

/// The suite's verdict on a registry of its own, which is told the one thing that the suite needs.
pub(super) fn judge(workshop: &Workshop, purpose: &str, site: Site) -> Outcome<String> {
    let folder = SUITE.build(workshop)?;
    let registry = site.set(SPARSE.0, SPARSE.1).start()?;
    let results = workshop.kept(&format!("{purpose}-results"));
    empty(&results)?;
    // Whether it ends well says little: the results are looked at either way.
    let ending = run(&mut suite(&folder, &registry.address, &results));
    let counts = verdict(&results)?;
    ending.map(|_| counts)
}

fn suite(folder: &Path, address: &str, results: &Path) -> Command {
    let mut command = bounded(600, folder.join("conformance"));
    command
        .current_dir(results)
        .env("OCI_VERSION", "dev")
        .env("OCI_REGISTRY", address)
        .env("OCI_TLS", "disabled")
        .env("OCI_REPO1", "conformance/one")
        .env("OCI_REPO2", "conformance/two")
        .env("OCI_RESULTS_DIR", results)
        .envs(SWITCHES.map(|switch| (switch, "true")));
    command
}

/// What `results.yaml` says of each API and each kind of data.
#[derive(Deserialize)]
struct Results {
    apis: BTreeMap<String, String>,
    data: BTreeMap<String, String>,
}

impl Results {
    /// The lines that are anything but passed.
    fn shortcomings(&self) -> Vec<String> {
        let lines = self.apis.iter().chain(&self.data);
        lines.filter(|(_, status)| *status != "Pass").map(|(name, status)| format!("{name}: {status}")).collect()
    }
}

/// The single checks, counted by their status; a line of `results.yaml` passes although one of its checks was skipped.
fn count_checks(junit: &str) -> BTreeMap<&str, usize> {
    let statuses = junit.split("<testcase ").skip(1).filter_map(|case| {
        let (head, _) = case.split_once('>')?;
        head.split_once("status=\"")?.1.split('"').next()
    });
    statuses.fold(BTreeMap::new(), |mut counts, status| {
        *counts.entry(status).or_default() += 1;
        counts
    })
}

fn verdict(folder: &Path) -> Outcome<String> {
    let file = |name: &str| std::fs::read_to_string(folder.join(name)).map_err(|problem| format!("{name}: {problem}"));
    let results: Results = serde_saphyr::from_str(&file("results.yaml")?)?;
    let junit = file("junit.xml")?;
    let counts = count_checks(&junit);
    let summary: Vec<_> = counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
    let summary = summary.join(", ");
    let shortcomings = results.shortcomings();
    let all_passed = counts.keys().all(|status| *status == "passed");
    let enough = counts.get("passed").is_some_and(|count| *count >= CHECKS_MIN);
    if shortcomings.is_empty() && all_passed && enough {
        return Ok(format!("{summary}, 0 failed, 0 skipped, 0 disabled"));
    }
    let report = folder.join("report.html");
    let shortcomings = shortcomings.join("\n");
    Err(format!("{summary}; wanted: {CHECKS_MIN} passed, nothing else; see {}\n{shortcomings}", report.display())
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_skipped_check_is_seen() {
        let junit =
            "<testcase name=\"a\" time=\"1\" status=\"passed\"></testcase><testcase name=\"b\" status=\"skipped\"/>";
        assert_eq!(count_checks(junit), BTreeMap::from([("passed", 1), ("skipped", 1)]));
    }

    #[test]
    fn a_results_line_that_did_not_pass_is_a_shortcoming() {
        let text = "apis:\n  Ping: Pass\n  Blob mount: Skip\ndata:\n  Index: FAIL\n";
        let results: Results = serde_saphyr::from_str(text).unwrap();
        assert_eq!(results.shortcomings(), ["Blob mount: Skip", "Index: FAIL"]);
    }
}
