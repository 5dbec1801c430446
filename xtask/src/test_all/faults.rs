//! A driver and a registry that die or stand still while docker pushes and pulls a real image.
//!
//! Each fault comes at random moments, in rounds, each over a store of its own. A new fault is a variant of [`Fault`]
//! and a row of [`ROWS`].

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::clients::layer_sha256;
use super::docker::Docker;
use super::image::Image;
use super::process::{disturb, signal};
use super::registry::{Registry, Site};
use super::report::Report;
use super::workshop::Workshop;
use crate::Outcome;

#[derive(Clone, Copy)]
enum Work {
    Push,
    Pull,
}

#[derive(Clone, Copy)]
enum Fault {
    KillDriver,
    /// Stopped, and continued after [`STANDSTILL`].
    StopDriver,
    /// Killed, and started again over the same store.
    KillRegistry,
}

/// What docker does, what happens meanwhile, how often during one work, and in how many rounds. A fifth death of the driver
/// within a minute would end the waiting.
const ROWS: [(Work, Fault, usize, usize); 4] = [
    (Work::Push, Fault::KillDriver, 4, 4),
    (Work::Push, Fault::StopDriver, 1, 1),
    (Work::Push, Fault::KillRegistry, 1, 2),
    (Work::Pull, Fault::KillDriver, 4, 4),
];

const STANDSTILL: Duration = Duration::from_secs(10);

pub(super) fn check(workshop: &Workshop, report: &mut Report) {
    let Some(bench) = report.prepare("faults", || Bench::open(workshop)) else { return };
    for (work, fault, times, rounds) in ROWS {
        let name = format!("docker {} while {}", work.name(), fault.name());
        let Some(lasts) = report.prepare(&name, || bench.undisturbed(work)) else { continue };
        for round in 1..=rounds {
            report.check(&format!("{name}, round {round}"), || bench.round(work, fault, lasts, times));
        }
    }
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Work::Push => "push",
            Work::Pull => "pull",
        }
    }
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::KillDriver => "the driver is killed",
            Fault::StopDriver => "the driver stands still",
            Fault::KillRegistry => "the registry is killed",
        }
    }
}

struct Bench<'a> {
    workshop: &'a Workshop,
    image: Image,
    docker: Docker,
}

impl Bench<'_> {
    fn open(workshop: &Workshop) -> Outcome<Bench<'_>> {
        let image = Image::make(workshop)?;
        let docker = Docker::start(workshop, "faults-docker")?;
        Ok(Bench { workshop, image, docker })
    }

    /// How long the work takes when nothing happens.
    fn undisturbed(&self, work: Work) -> Outcome<Duration> {
        let subject = Subject::prepare(self, work)?;
        let begin = Instant::now();
        subject.docker(work)?;
        let lasts = begin.elapsed();
        subject.clear_away()?;
        Ok(lasts)
    }

    fn round(&self, work: Work, fault: Fault, lasts: Duration, times: usize) -> Outcome<String> {
        let mut subject = Subject::prepare(self, work)?;
        let seen = subject.disturbed(work, fault, lasts, times)?;
        let found = subject.found(work)?;
        subject.clear_away()?;
        Ok(format!("{}; {seen}", self.image.compare(&found)?))
    }
}

/// A registry over a store of its own, and what docker has of it.
struct Subject<'a> {
    bench: &'a Bench<'a>,
    site: Site,
    registry: Registry,
    reference: String,
}

impl<'a> Subject<'a> {
    /// With all done that comes before the work.
    fn prepare(bench: &'a Bench<'a>, work: Work) -> Outcome<Subject<'a>> {
        let site = Site::new(bench.workshop, "faults", "filesystem")?;
        let registry = site.start()?;
        let reference = format!("{}/debian/minbase:1", registry.address);
        let subject = Subject { bench, site, registry, reference };
        subject.bench.docker.run(&["import", &bench.image.tarball.to_string_lossy(), &subject.reference])?;
        if let Work::Pull = work {
            subject.docker(Work::Push)?;
            subject.forget()?;
        }
        Ok(subject)
    }

    fn docker(&self, work: Work) -> Outcome<String> {
        self.bench.docker.run(&[work.name(), &self.reference])
    }

    /// docker keeps no copy, so that a pull has all to fetch.
    fn forget(&self) -> Outcome<String> {
        self.bench.docker.run(&["rmi", "--force", &self.reference])
    }

    fn clear_away(self) -> Outcome {
        self.forget()?;
        self.site.clear_away(self.registry)
    }

    /// docker itself bears a driver that dies; from a registry that dies it may have to be asked again.
    fn disturbed(&mut self, work: Work, fault: Fault, lasts: Duration, times: usize) -> Outcome<String> {
        let mut command = self.bench.docker.command(&[work.name(), &self.reference]);
        let disturbed = disturb(&mut command, lasts, times, || self.inflict(fault));
        match fault {
            Fault::KillDriver | Fault::StopDriver => disturbed,
            Fault::KillRegistry => disturbed.or_else(|_| self.docker(work).map(|_| "asked twice".to_owned())),
        }
    }

    fn inflict(&mut self, fault: Fault) -> Outcome {
        match fault {
            Fault::KillDriver => self.signal_driver(Signal::KILL),
            Fault::StopDriver => {
                self.signal_driver(Signal::STOP)?;
                std::thread::sleep(STANDSTILL);
                self.signal_driver(Signal::CONT)
            }
            Fault::KillRegistry => {
                self.registry.kill()?;
                self.registry = self.site.start_at(&self.registry.address)?;
                Ok(())
            }
        }
    }

    /// Between two lives of the driver there is none to send to.
    fn signal_driver(&self, which: Signal) -> Outcome {
        self.registry.children()?.into_iter().for_each(|driver| signal(driver, which));
        Ok(())
    }

    /// The SHA-256 of the layer: as docker pulled it, or as the registry serves what docker pushed.
    fn found(&self, work: Work) -> Outcome<String> {
        match work {
            Work::Pull => self.bench.docker.layer_sha256(&self.reference),
            Work::Push => layer_sha256(&self.reference, &self.bench.workshop.folder("served")?),
        }
    }
}
