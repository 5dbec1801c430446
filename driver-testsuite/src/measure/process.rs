//! What the process of a driver has used, as the kernel tells it.

use std::fs;

use crate::report::ProcessCost;

/// What a process has used since its start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    cpu_seconds: f64,
    peak_memory_mib: f64,
}

impl Usage {
    /// `None` where the kernel does not tell.
    pub(super) fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let ticks = ticks(&stat)? as f64 / rustix::param::clock_ticks_per_second() as f64;
        Some(Usage { cpu_seconds: ticks, peak_memory_mib: peak_kib(&status)? as f64 / 1024.0 })
    }

    pub(super) fn since(self, before: Usage) -> ProcessCost {
        ProcessCost { cpu_seconds: self.cpu_seconds - before.cpu_seconds, peak_memory_mib: self.peak_memory_mib }
    }
}

/// Time in the process and in the kernel for it, in ticks. The second field, a name, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn peak_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_read_right() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 1 0 100 1000 10";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(peak_kib("Name:\tx\nVmHWM:\t    2048 kB\n"), Some(2048));
        assert!(Usage::of(std::process::id()).is_some_and(|usage| usage.peak_memory_mib > 0.0));
    }
}
