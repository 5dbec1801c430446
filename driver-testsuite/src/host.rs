//! What a report says of the place and the time of a run.

use crate::report::Host;

/// The present, as RFC 3339 has it, to the second.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).map(|now| now.to_string()).unwrap_or_default()
}

pub(crate) fn host() -> Host {
    let system = rustix::system::uname();
    let [name, release, machine] = [system.sysname(), system.release(), system.machine()];
    let system = format!("{} {} {}", name.to_string_lossy(), release.to_string_lossy(), machine.to_string_lossy());
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    Host { system, processors, memory_mib: rustix::system::sysinfo().totalram as u64 >> 20 }
}
