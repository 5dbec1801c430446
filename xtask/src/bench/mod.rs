//! `cargo xtask bench`: the same work for this registry and its peers, in turns, and what it cost each of them.
//!
//! Processor time is what is compared: on a machine that does other things too it changes little, and rates much.

mod content;
mod measure;
mod plot;
mod results;
mod scale;
mod subject;
mod usage;
mod work;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Outcome;
use crate::http::Client;
use crate::test_all::load::memory::Watch;
use measure::{Effort, measure};
use results::{Memory, Results, Seen};
use subject::{Running, Subject};
use work::{Ground, Work};

/// Clients of what is large: each fills a processor.
const BULK_CLIENTS: usize = 2;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One short round without the curves, to see how things stand.
    #[arg(long)]
    quick: bool,
    /// How often every registry has its turn.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long each kind of work is done in a turn.
    #[arg(long)]
    seconds: Option<f64>,
    /// Clients at once of what is small.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// The size of a large blob.
    #[arg(long, default_value_t = 128)]
    large_mib: u64,
    /// Only this kind of work.
    #[arg(long)]
    work: Vec<Work>,
    /// Only registries whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// One more registry, which runs already: NAME=http://HOST:PORT.
    #[arg(long)]
    peer: Vec<String>,
    /// The root of a peer's processes, in the order of the peers; without it its processor time is not known.
    #[arg(long)]
    peer_pid: Vec<u32>,
    /// The largest store of the curves; 0 for none.
    #[arg(long)]
    scale_max: Option<usize>,
    /// Another build of the registry than a release made now.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where results.json, table.md and bench.svg are written.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let folder = own_folder()?;
    let bulkhead = match &arguments.binary {
        Some(binary) => binary.canonicalize()?,
        None => build()?,
    };
    let subjects = subjects(arguments, &bulkhead)?;
    let scratch = tempfile::Builder::new().prefix("scratch.").tempdir_in(&folder)?;
    let mut results = Results {
        machine: machine(),
        large_mib: arguments.large_mib,
        clients: arguments.clients,
        subjects: subjects.iter().map(|subject| subject.name.clone()).collect(),
        ..Results::default()
    };
    for round in 0..arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 3 }) {
        for turn in 0..subjects.len() {
            // Whoever comes first in one round comes later in the next.
            let subject = &subjects[(turn + round) % subjects.len()];
            take_turn(arguments, subject, scratch.path(), &mut results)?;
        }
    }
    let most = arguments.scale_max.unwrap_or(if arguments.quick { 0 } else { 100_000 });
    results.scale = scale::run(&subjects, scratch.path(), most, arguments.effort(false))?;
    write(&results, arguments.out.as_deref().unwrap_or(&folder))
}

impl Arguments {
    fn works(&self) -> Vec<Work> {
        work::ALL.into_iter().filter(|work| self.work.is_empty() || self.work.contains(work)).collect()
    }

    fn effort(&self, bulk: bool) -> Effort {
        let seconds = self.seconds.unwrap_or(if self.quick { 1.0 } else { 4.0 });
        let clients = if bulk { BULK_CLIENTS } else { self.clients.max(1) };
        Effort { clients, lasts: Duration::from_secs_f64(seconds), steps_max: u64::MAX }
    }
}

/// Beside the built programs, so that what is measured is a disk and not a temporary file system.
fn own_folder() -> Outcome<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().ok_or("this program is in no folder")?.with_file_name("bench");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn build() -> Outcome<PathBuf> {
    let root = crate::root::path("");
    let arguments = ["build", "--release", "--quiet", "--package", "bulkhead"];
    let status = Command::new(env!("CARGO")).args(arguments).current_dir(&root).status()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    if status.success() { Ok(target.join("release/bulkhead").canonicalize()?) } else { Err("no release build".into()) }
}

fn subjects(arguments: &Arguments, bulkhead: &Path) -> Outcome<Vec<Subject>> {
    let mut subjects = Subject::usual(bulkhead);
    for (index, peer) in arguments.peer.iter().enumerate() {
        subjects.push(Subject::running(peer, arguments.peer_pid.get(index).copied())?);
    }
    subjects.retain(|subject| arguments.only.as_ref().is_none_or(|part| subject.name.contains(part)));
    if subjects.is_empty() { Err("no registry has such a name".into()) } else { Ok(subjects) }
}

/// One registry, with a new store, does all of the work.
fn take_turn(arguments: &Arguments, subject: &Subject, scratch: &Path, results: &mut Results) -> Outcome {
    let folder = tempfile::Builder::new().prefix("turn.").tempdir_in(scratch)?;
    println!("\n{}", subject.name);
    let running = subject.start(folder.path())?;
    let watch = running.process.filter(|_| !subject.keeps_content_in_memory()).map(Watch::begin);
    let ground = Ground::prepare(&running.address, arguments.large_mib, &arguments.works())?;
    for work in arguments.works() {
        do_work(arguments, subject, (&running, &ground), work, results)?;
    }
    if let Some(watch) = watch {
        let peak_mib = watch.end() as f64 / f64::from(1 << 20);
        println!("peak memory (PSS) {peak_mib:>35.0} MiB");
        results.memory.push(Memory { subject: subject.name.clone(), peak_mib });
    }
    Ok(())
}

fn do_work(
    arguments: &Arguments,
    subject: &Subject,
    (running, ground): (&Running, &Ground),
    work: Work,
    results: &mut Results,
) -> Outcome {
    let step = |client: &mut Client, number| ground.step(work, client, number);
    let effort = Effort { steps_max: work.steps_max(), ..arguments.effort(work.is_bulk()) };
    if !work.is_bulk() {
        measure(&running.address, None, Effort { lasts: effort.lasts / 10, ..effort }, &step)?;
    }
    let measured = measure(&running.address, running.process, effort, &step)?;
    let units = if work.is_bulk() { arguments.large_mib as f64 } else { 1.0 };
    let cost = measured.cpu_ms.map_or("?".to_owned(), |cost| results::with_unit(cost / units, work));
    println!("{:<42} {cost:>14}  {} times", work.title(arguments.large_mib), measured.steps);
    results.seen.push(Seen { work, subject: subject.name.clone(), measured });
    Ok(())
}

fn machine() -> String {
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cpus} processors ({}), Linux {}", model.trim_matches([':', ' ', '\t']), kernel.trim())
}

fn write(results: &Results, folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder)?;
    let table = results.markdown();
    println!("\n{table}");
    std::fs::write(folder.join("results.json"), serde_json::to_string_pretty(results)?)?;
    std::fs::write(folder.join("table.md"), table)?;
    std::fs::write(folder.join("bench.svg"), plot::svg(results))?;
    println!("written to {}", folder.display());
    Ok(())
}
