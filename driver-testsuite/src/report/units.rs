//! Numbers as people read them.

use super::{ProcessCost, Throughput, Traffic};

/// Microseconds, with three digits that count.
pub(crate) fn time(microseconds: f64) -> String {
    let (value, unit) = match microseconds {
        ..1e3 => (microseconds, "µs"),
        ..1e6 => (microseconds / 1e3, "ms"),
        _ => (microseconds / 1e6, "s"),
    };
    format!("{} {unit}", short(value))
}

/// A length in bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    let scaled = |shift: u32| short(bytes as f64 / (1_u64 << shift) as f64);
    match bytes {
        0..0x400 => format!("{bytes} B"),
        0x400..0x10_0000 => format!("{} KiB", scaled(10)),
        0x10_0000..0x4000_0000 => format!("{} MiB", scaled(20)),
        _ => format!("{} GiB", scaled(30)),
    }
}

/// MiB a second, as a number.
pub(crate) fn rate_of(stream: &Throughput) -> f64 {
    stream.bytes as f64 / f64::from(1 << 20) / stream.seconds.max(1e-9)
}

pub(crate) fn rate(mib_per_second: f64) -> String {
    format!("{} MiB/s", short(mib_per_second))
}

pub(crate) fn traffic(traffic: &Traffic) -> String {
    let Traffic { requests, sent_bytes, received_bytes, cost } = *traffic;
    let money = if cost > 0.0 { format!(", cost {cost:.4}") } else { String::new() };
    format!("{requests} calls, {} sent, {} received{money}", bytes(sent_bytes), bytes(received_bytes))
}

pub(crate) fn process(cost: &ProcessCost) -> String {
    format!("{:.2} s of CPU, {} MiB of memory at most", cost.cpu_seconds, short(cost.peak_memory_mib))
}

fn short(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_a_unit() {
        assert_eq!([time(7.0), time(12.34), time(2500.0), time(3e6)], ["7.00 µs", "12.3 µs", "2.50 ms", "3.00 s"]);
        assert_eq!([bytes(7), bytes(4096), bytes(64 << 20)], ["7 B", "4.00 KiB", "64.0 MiB"]);
        assert_eq!(rate(1234.5), "1234 MiB/s");
    }
}
