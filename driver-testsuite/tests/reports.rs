//! What people and build servers see of a run: every form of a report says the same, and no text becomes markup.

use std::path::Path;
use std::process::{Command, Output};

use driver_testsuite::compare::Comparison;
use driver_testsuite::report::{
    Capabilities, CaseReport, DriverIdentity, Evidence, Host, Latency, Measurements, ProcessCost, Standing, Throughput,
    Verdict,
};
use driver_testsuite::{Call, Demand, Level, Profile, Report, Scope, Traffic};

/// A text that would be a picture, a link, a table's end or a paragraph's end in one form or another.
const HOSTILE: &str = "<img src=x onerror=alert(1)> & \"quoted\" | [link](https://example.com) ]]> \u{1b}[31m\u{0}";

fn case(id: &str, demand: Demand, verdict: Verdict) -> CaseReport {
    let bad = verdict.is_bad();
    CaseReport {
        id: id.to_owned(),
        title: "A title.".to_owned(),
        clauses: vec!["O4".to_owned()],
        level: Level::Quick,
        scope: Scope::Writing,
        demand,
        verdict,
        seconds: 0.25,
        remarks: Vec::new(),
        evidence: bad.then(|| Evidence {
            transcript: vec![call("Put"), call("Get")],
            log: format!("line of {HOSTILE}"),
            reproduce: format!("driver-testsuite run --filter {id}"),
        }),
    }
}

fn call(name: &str) -> Call {
    let (call, arguments, outcome) = (name.to_owned(), HOSTILE.to_owned(), "OK".to_owned());
    Call { at_ms: 1.0, took_ms: Some(0.5), call, arguments, outcome }
}

fn latency(operation: &str, p50_us: f64) -> Latency {
    let [p90_us, p99_us, max_us] = [2.0, 3.0, 4.0].map(|times| p50_us * times);
    Latency { operation: operation.to_owned(), calls: 200, p50_us, p90_us, p99_us, max_us }
}

fn throughput(operation: &str, streams: usize, mib: u64) -> Throughput {
    Throughput { operation: operation.to_owned(), streams, bytes: mib << 20, seconds: 1.0 }
}

fn report(cases: Vec<CaseReport>) -> Report {
    Report {
        schema: driver_testsuite::report::SCHEMA,
        suite: "0.1.0".to_owned(),
        protocol: "storagedriver.v1alpha1".to_owned(),
        driver: DriverIdentity { name: "sample".to_owned(), version: "1.2".to_owned() },
        capabilities: Capabilities { durability: "VOLATILE".to_owned(), if_absent: true, ..Capabilities::default() },
        target: "bulkhead-driver-sample".to_owned(),
        profile: Profile::Registry,
        level: Level::Full,
        filtered: false,
        seed: u64::MAX,
        started: "2026-01-02T03:04:05Z".to_owned(),
        seconds: 1.5,
        host: Host { system: "Linux".to_owned(), processors: 2, memory_mib: 1024 },
        traffic: Traffic { requests: 7, ..Traffic::default() },
        cases,
        measurements: None,
    }
}

/// One case of each outcome.
fn every_outcome() -> Report {
    let text = || HOSTILE.to_owned();
    report(vec![
        case("one/passes", Demand::Must, Verdict::Passed),
        case("one/fails", Demand::Must, Verdict::Failed(text())),
        case("one/need_not_be", Demand::Should, Verdict::Failed(text())),
        case("two/is_skipped", Demand::Must, Verdict::Skipped(text())),
        case("two/is_not_offered", Demand::Must, Verdict::NotOffered(text())),
        case("two/fails_as_expected", Demand::Must, Verdict::ExpectedFailure(text())),
        case("two/passes_unexpectedly", Demand::Should, Verdict::UnexpectedPass),
    ])
}

fn measured(p50_us: f64, mib: u64, memory: f64) -> Report {
    let measurements = Measurements {
        operations: vec![latency("Stat", p50_us), latency("Put 4 KiB", p50_us * 10.0)],
        streams: vec![throughput("Read", 1, mib), throughput("Read", 4, mib * 2)],
        process: Some(ProcessCost { cpu_seconds: 1.0, peak_memory_mib: memory }),
        omitted: vec!["Delete: refused".to_owned()],
    };
    Report { measurements: Some(measurements), ..report(vec![case("one/passes", Demand::Must, Verdict::Passed)]) }
}

#[test]
fn compliance_needs_every_case_that_must_pass() {
    let of = |demand, verdict| report(vec![case("one/a", demand, verdict)]);
    let why = || "why".to_owned();
    for (report, compliant, kept) in [
        (of(Demand::Must, Verdict::Passed), true, true),
        (of(Demand::Must, Verdict::NotOffered(why())), true, true),
        (of(Demand::Must, Verdict::Skipped(why())), false, true),
        (of(Demand::Must, Verdict::Failed(why())), false, false),
        (of(Demand::Must, Verdict::ExpectedFailure(why())), false, true),
        (of(Demand::Should, Verdict::Failed(why())), true, true),
        (of(Demand::Should, Verdict::Skipped(why())), true, true),
        (of(Demand::Should, Verdict::UnexpectedPass), true, false),
        (Report { filtered: true, ..of(Demand::Must, Verdict::Passed) }, false, true),
        (Report { level: Level::Quick, ..of(Demand::Must, Verdict::Passed) }, false, true),
    ] {
        assert_eq!((report.is_compliant(), report.is_kept()), (compliant, kept), "{report}");
    }
    for (scope, compliant) in [(Scope::Descriptors, false), (Scope::ReadOnly, false), (Scope::Shared, true)] {
        let mut without = of(Demand::Must, Verdict::NotOffered(why()));
        without.cases[0].scope = scope;
        assert_eq!((without.is_compliant(), without.is_kept()), (compliant, true), "{scope:?}");
    }
}

#[test]
fn the_document_is_read_as_it_was_written() {
    for report in [every_outcome(), measured(100.0, 500, 20.0)] {
        assert_eq!(Report::from_json(&report.to_json().unwrap()).unwrap(), report);
    }
}

#[test]
fn a_later_document_is_refused_with_a_sentence() {
    let problem = Report::from_json(r#"{"schema": 99, "cases": "of another form"}"#).unwrap_err().to_string();
    assert!(problem.contains("schema 99") && problem.contains("as new as its own"), "{problem}");
    assert!(Report::from_json("{}").is_err());
}

#[test]
fn build_servers_count_failures_and_skips() {
    let text = every_outcome().to_junit().unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!((count("testsuite"), count("testcase"), count("failure"), count("skipped")), (2, 7, 2, 4));
    let suite = document.descendants().find(|node| node.attribute("name") == Some("one")).unwrap();
    assert_eq!(["tests", "failures"].map(|name| suite.attribute(name)), [Some("3"), Some("1")]);
    let failure = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
    assert!(failure.attribute("message").unwrap().starts_with("<img src=x"));
    let told = failure.text().unwrap();
    for part in ["reason: <img", "driver-testsuite run --filter one/fails", "Get <img", "line of <img", "clauses: O4"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn the_page_needs_nothing_else_and_takes_no_text_for_markup() {
    let hostile = Report { measurements: measured(50.0, 300, 9.0).measurements, ..every_outcome() };
    let pages = [hostile.to_html(), Comparison::of(&[hostile.clone(), hostile]).to_html()];
    for page in pages {
        for outside in ["src=\"", "href=", "url(", "@import", "<link", "<img", "<iframe"] {
            assert!(!page.contains(outside), "{outside} is in the page");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(page.contains("</html>") && page.contains("prefers-color-scheme"));
    }
    let page = every_outcome().to_html();
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"));
    assert_eq!(page.matches("<tbody data-outcome=").count(), 7);
    assert_eq!(page.matches("To see it again").count(), 3);
}

#[test]
fn the_scorecard_and_the_badge_give_the_verdict() {
    let card = every_outcome().to_scorecard();
    assert!(card.contains("**NOT compliant with profile registry**"), "{card}");
    assert!(card.contains("| quick | 1/4 | 0/2 | 1 | 1 |"), "{card}");
    let card = measured(100.0, 500, 20.0).to_scorecard();
    assert!(card.contains("| Stat | 200 | 100 µs | 200 µs | 300 µs | 400 µs |"), "{card}");
    assert!(card.contains("| Read | 4 | 1000 MiB/s |") && card.contains("Not measured: Delete: refused."), "{card}");
    for (report, word) in [(every_outcome(), "not compliant"), (measured(1.0, 1, 1.0), ">compliant")] {
        let badge = report.to_badge();
        roxmltree::Document::parse(&badge).unwrap();
        assert!(badge.contains("StorageDriver registry") && badge.contains(word), "{badge}");
    }
}

#[test]
fn a_capability_is_proven_by_cases_alone() {
    let standing = |verdict: Option<Verdict>| {
        let other = || case("content/put_if_absent", Demand::Must, Verdict::Passed);
        let cases = verdict.map(|verdict| vec![other(), case("sessions/commit", Demand::Must, verdict)]);
        let report = report(cases.unwrap_or_default());
        let proofs = report.capability_proofs();
        (proofs.iter().find(|proof| proof.name == "if_absent").unwrap().standing, report.proven_capabilities())
    };
    assert_eq!(standing(Some(Verdict::Passed)), (Standing::Proven, (1, 1)));
    assert_eq!(standing(Some(Verdict::Failed(String::new()))), (Standing::Broken, (0, 1)));
    assert_eq!(standing(Some(Verdict::Skipped(String::new()))), (Standing::NotProven, (0, 1)));
    assert_eq!(standing(None), (Standing::NotProven, (0, 1)));
}

#[test]
fn drivers_stand_side_by_side_and_the_best_figure_is_marked() {
    let mut slow = measured(200.0, 100, 10.0);
    slow.driver.version = "1.3".to_owned();
    slow.host.processors = 64;
    let reports = [measured(100.0, 500, 20.0), slow, measured(100.0, 50, 30.0)];
    let comparison = Comparison::of(&reports);
    assert_eq!(comparison.columns, ["sample 1.2", "sample 1.3", "sample 1.2 (2)"]);
    let row = |name: &str| comparison.sections.iter().flat_map(|section| &section.rows).find(|row| row.name == name);
    let stat = row("Stat").unwrap();
    assert_eq!((stat.cells[1].as_str(), stat.best), ("200 µs / 400 µs / 600 µs", None), "two are equally good");
    assert_eq!(row("Read, 4 streams").unwrap().best, Some(0));
    assert_eq!(row("most memory").unwrap().best, Some(1));
    assert_eq!(row("verdict").unwrap().cells, ["compliant"; 3]);
    assert!(comparison.cautions.iter().any(|caution| caution.contains("machines differ")), "{comparison}");
    let markdown = comparison.to_markdown();
    assert!(markdown.contains("| Read, 1 stream | 500 MiB/s * | 100 MiB/s | 50.0 MiB/s |"), "{markdown}");
}

#[test]
fn a_folder_holds_the_transcripts_of_this_run_alone() {
    let folder = tempfile::tempdir().unwrap();
    every_outcome().write_to(folder.path()).unwrap();
    let transcripts = folder.path().join("transcripts");
    let lines = std::fs::read_to_string(transcripts.join("one.fails.jsonl")).unwrap();
    let calls: Vec<Call> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(calls, [call("Put"), call("Get")]);
    measured(1.0, 1, 1.0).write_to(folder.path()).unwrap();
    assert!(!transcripts.exists(), "transcripts of an earlier run are left");
    for name in ["report.json", "junit.xml", "report.html", "SCORECARD.md", "badge.svg"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

fn compare(arguments: &[&Path]) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_driver-testsuite")).arg("compare").args(arguments).output()
}

#[test]
fn the_program_compares_files_and_says_which_it_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let one = write("one.json", measured(100.0, 500, 20.0).to_json().unwrap());
    let two = write("two.json", measured(200.0, 700, 10.0).to_json().unwrap());
    let page = folder.path().join("page.html");
    let output = compare(&[&one, &two, Path::new("--html"), &page]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("100 µs / 200 µs / 300 µs *") && !table.contains('\u{1b}'), "{table}");
    assert!(std::fs::read_to_string(page).unwrap().contains("Drivers compared"));
    let later = write("later.json", r#"{"schema": 2000}"#.to_owned());
    let output = compare(&[&one, &later]).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("later.json: the report has schema 2000"), "{said}");
}
