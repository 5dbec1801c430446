//! `cargo xtask test-all`: what needs more than Rust, against the built registry with real clients and real processes.
//!
//! One module per part. A part installs and starts what it needs, and takes down what it started; a tool that cannot be
//! had is a failure, never a skip.

mod azure;
mod buildkit;
mod clients;
mod cloud;
mod conformance;
mod docker;
mod faults;
mod image;
pub(crate) mod load;
mod package;
pub(crate) mod process;
pub(crate) mod registry;
mod releases;
mod replicas;
mod report;
mod requests;
mod s3;
mod suite;
mod tools;
mod vendors;
pub(crate) mod workshop;

use clap::ValueEnum;

use crate::Outcome;
use report::Report;
use workshop::Workshop;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Part {
    /// The official OCI conformance suite, every switch on, over the filesystem and the memory driver.
    Conformance,
    /// docker, skopeo, podman, buildah and BuildKit with a real operating system image.
    Clients,
    /// A driver or a registry that is killed or stands still during a push and a pull.
    Faults,
    /// Fifty clients at once with large blobs, in bounded memory.
    Load,
    /// The conformance suite, again and again on a driver that keeps the contract: whatever fails is the suite's own fault.
    Suite,
    /// The drivers that vendors copy: judged by the conformance suite, and behind the registry.
    Vendors,
    /// The last release and this build with each other: registry, driver and suite.
    Releases,
    /// The S3 driver on a server that is not ours: judged by the conformance suite, and behind the registry.
    S3,
    /// What each request to a registry asks of the S3 driver and of its server, as it is documented.
    Requests,
    /// The Azure driver on the emulator of the service: judged by the conformance suite, and behind the registry.
    Azure,
    /// What others take: the crates that can be published, the systemd unit, the container image.
    Package,
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The parts to run; all of them when none is named.
    parts: Vec<Part>,
    /// Another build of the registry than the one made for this run.
    #[arg(long)]
    binary: Option<std::path::PathBuf>,
    /// The size of each blob of the load.
    #[arg(long, default_value_t = 64)]
    load_mib: u64,
    /// How often the suite is run; fifty times before a release.
    #[arg(long, default_value_t = 3)]
    suite_runs: u32,
}

pub(crate) fn run(arguments: Arguments) -> Outcome {
    let workshop = Workshop::open(arguments.binary)?;
    let parts = if arguments.parts.is_empty() { Part::value_variants() } else { &arguments.parts };
    let mut report = Report::default();
    for part in parts {
        println!("\n== {part:?}");
        match part {
            Part::Conformance => conformance::check(&workshop, &mut report),
            Part::Clients => clients::check(&workshop, &mut report),
            Part::Faults => faults::check(&workshop, &mut report),
            Part::Load => load::check(&workshop, &mut report, arguments.load_mib),
            Part::Suite => suite::check(&workshop, &mut report, arguments.suite_runs),
            Part::Vendors => vendors::check(&workshop, &mut report),
            Part::Releases => releases::check(&workshop, &mut report),
            Part::S3 => s3::check(&workshop, &mut report),
            Part::Requests => s3::check_requests(&workshop, &mut report),
            Part::Azure => azure::check(&workshop, &mut report),
            Part::Package => package::check(&workshop, &mut report),
        }
    }
    report.close()
}
