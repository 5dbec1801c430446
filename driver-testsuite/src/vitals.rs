//! What the system tells of a process: descriptors, threads, memory, sockets, and what anybody may read of it.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    pub descriptors: usize,
    pub threads: usize,
    /// In KiB.
    pub resident: usize,
}

/// The folder in which the system describes the process `id`.
fn folder(id: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{id}"))
}

/// What the process `id` holds now.
pub(crate) fn vitals(id: u32) -> io::Result<Vitals> {
    let status = std::fs::read_to_string(folder(id).join("status"))?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    };
    let descriptors = std::fs::read_dir(folder(id).join("fd"))?.count();
    Ok(Vitals { descriptors, threads: number("Threads"), resident: number("VmRSS") })
}

/// Whether every thread of the process `id` stands still.
pub(crate) fn is_stopped(id: u32) -> io::Result<bool> {
    for task in std::fs::read_dir(folder(id).join("task"))? {
        let stat = std::fs::read_to_string(task?.path().join("stat")).unwrap_or_default();
        // The state follows the name, which is in brackets and may hold anything.
        if stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('T')) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the users of the machine can read of the process `id`: its arguments, and for its own user its environment.
pub(crate) fn readable(id: u32) -> io::Result<String> {
    let texts = ["cmdline", "environ"].map(|name| std::fs::read(folder(id).join(name)));
    let texts: io::Result<Vec<_>> = texts.into_iter().collect();
    Ok(String::from_utf8_lossy(&texts?.concat()).into_owned())
}

/// The sockets on which the process `id` listens, each with its address as the system writes it.
pub(crate) fn listening(id: u32) -> io::Result<Vec<String>> {
    let mut inodes = BTreeSet::new();
    for entry in std::fs::read_dir(folder(id).join("fd"))? {
        let target = std::fs::read_link(entry?.path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        inodes.extend(target.strip_prefix("socket:[").and_then(|rest| Some(rest.strip_suffix(']')?.to_owned())));
    }
    let table = |name: &str| std::fs::read_to_string(folder(id).join("net").join(name)).unwrap_or_default();
    let unix = table("unix");
    let unix = unix.lines().filter_map(listening_unix);
    let tables = [table("tcp"), table("tcp6")];
    let tcp = tables.iter().flat_map(|table| table.lines()).filter_map(listening_tcp);
    Ok(unix.chain(tcp).filter(|(inode, _)| inodes.contains(*inode)).map(|(_, address)| address.to_owned()).collect())
}

/// Whether a listening socket is a port, and not a Unix socket.
pub(crate) fn is_port(address: &str) -> bool {
    !address.contains('/') && address.split_once(':').is_some_and(|(_, port)| u16::from_str_radix(port, 16).is_ok())
}

/// `Num RefCount Protocol Flags Type St Inode Path`, where flag 0x10000 says that it listens.
fn listening_unix(line: &str) -> Option<(&str, &str)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let flags = u32::from_str_radix(words.get(3)?, 16).ok()?;
    (flags & 0x10000 != 0).then_some((*words.get(6)?, words.get(7).copied().unwrap_or("without a name")))
}

/// `sl local_address rem_address st ... inode`, where state 0A says that it listens.
fn listening_tcp(line: &str) -> Option<(&str, &str)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    (*words.get(3)? == "0A").then_some((*words.get(9)?, *words.get(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_as_it_is() {
        let id = std::process::id();
        let vitals = vitals(id).unwrap();
        assert!(vitals.descriptors > 2 && vitals.threads > 0 && vitals.resident > 500, "{vitals:?}");
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("a.sock");
        let _unix = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let _tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listening = listening(id).unwrap();
        assert!(listening.contains(&socket.to_string_lossy().into_owned()), "{listening:?}");
        assert!(listening.iter().any(|address| address.starts_with("0100007F:") && is_port(address)), "{listening:?}");
        assert!(!is_port(&socket.to_string_lossy()) && !is_port("without a name"));
    }
}
