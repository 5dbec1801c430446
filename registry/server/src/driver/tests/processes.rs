//! The life of driver processes: how they are started, refused, watched, started again and ended.

use std::fs;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, test_kill_process};
use tokio::time::{Instant, timeout};

use super::{PATIENCE, Place, eventually, path, signal};
use crate::driver::settings::{DriverSettings, Executable, RestartLimits, Socket, Spawn, Way};
use crate::driver::{DriverErrorKind, StartError, Supervisor};

async fn refusal(name: &str, socket: Socket) -> String {
    let refused = timeout(PATIENCE, Place::new().start(name, socket)).await.expect("the start should end");
    refused.err().expect("the driver should be refused").to_string()
}

#[tokio::test]
async fn drivers_that_cannot_be_used_are_refused_with_a_sentence() {
    let rows = [
        (
            "crashing",
            Socket::Inherit,
            "the driver crashing ended by exit code 3; the last it said:\n  the disk is on fire",
        ),
        ("foreign", Socket::Path, "speaks storagedriver.v9, and this registry speaks storagedriver.v1alpha1"),
        ("impostor", Socket::Path, "is not the process that was started for it"),
    ];
    for (name, socket, sentence) in rows {
        let refusal = refusal(name, socket).await;
        assert!(refusal.contains(sentence), "{refusal}");
    }
}

#[tokio::test]
async fn a_driver_is_given_what_the_protocol_names_and_nothing_else() {
    let rows = [
        (
            "inspected",
            Socket::Inherit,
            &[
                "descriptor 3",
                "descriptor 5",
                "variable STORAGE_DRIVER_LISTEN_FD",
                "variable STORAGE_DRIVER_DESCRIPTOR_FD",
            ][..],
        ),
        ("inspected", Socket::Path, &["variable STORAGE_DRIVER_SOCKET"]),
        ("curious", Socket::Path, &["variable STORAGE_DRIVER_SOCKET", "variable CARGO_MANIFEST_DIR"]),
    ];
    // Standard input, output and error, and what whoever runs the tests forgot to close.
    let usual = Command::new(Place::new().executable("inspected")).output().unwrap().stderr;
    let usual: Vec<String> = String::from_utf8(usual).unwrap().lines().map(str::to_owned).collect();
    let usual: Vec<String> = usual.into_iter().filter(|line| line.starts_with("descriptor ")).collect();
    for (name, socket, more) in rows {
        let refusal = refusal(name, socket).await;
        let mut given: Vec<&str> = refusal.lines().skip(1).map(str::trim).collect();
        given.retain(|thing| !usual.iter().any(|line| line == thing));
        given.retain(|thing| !["PATH", "TZ", "TMPDIR", "LANG"].iter().any(|name| *thing == format!("variable {name}")));
        let always = ["descriptor 4", "variable STORAGE_DRIVER_LIVENESS_FD", "variable STORAGE_DRIVER_NONCE"];
        let mut expected = [&always, more].concat();
        given.sort_unstable();
        expected.sort_unstable();
        assert_eq!(given, expected, "{name}");
    }
}

#[tokio::test]
async fn an_invalid_configuration_is_said_once_and_names_the_parameter() {
    let place = Place::new();
    let mut settings = place.settings("filesystem", Socket::Inherit);
    settings.parameters.insert("colour".to_owned(), "hunter2".to_owned());
    let refused = Supervisor::start(settings).await.err().unwrap();
    assert!(matches!(refused, StartError::Configuration { .. }), "{refused}");
    assert!(refused.to_string().contains("colour") && !refused.to_string().contains("hunter2"), "{refused}");
}

#[tokio::test]
async fn an_executable_that_cannot_run_is_named() {
    let place = Place::new();
    let file = place.file("no-program");
    fs::write(&file, "").unwrap();
    let way = Way::Spawn(Spawn {
        executable: Executable::File(file.clone()),
        socket: Socket::Inherit,
        runtime_directory: None,
    });
    let settings = DriverSettings { way, ..place.settings("filesystem", Socket::Inherit) };
    let refused = Supervisor::start(settings).await.err().unwrap().to_string();
    assert!(refused.contains(&file.display().to_string()), "{refused}");
}

#[tokio::test]
async fn calls_made_while_a_driver_restarts_wait_for_it() {
    for socket in [Socket::Inherit, Socket::Path] {
        let place = Place::new();
        let (supervisor, client) = place.start("filesystem", socket).await.unwrap();
        client.put(&path("/a"), Bytes::from_static(b"kept")).await.unwrap();
        for death in 1..=3 {
            signal(&client, Signal::KILL);
            assert_eq!(client.get(&path("/a"), 4).await.unwrap(), "kept", "{socket:?}");
            eventually("the death is counted", || client.status().restarts == death).await;
            assert_eq!(client.get(&path("/a"), 4).await.unwrap(), "kept", "{socket:?}");
        }
        assert!(client.status().ready);
        supervisor.shutdown().await;
    }
}

#[tokio::test]
async fn a_driver_that_keeps_dying_is_waited_for_no_longer_and_still_brought_back() {
    let place = Place::new();
    let mut settings = place.settings("filesystem", Socket::Inherit);
    settings.restart = RestartLimits { deaths: 3, within: Duration::from_secs(60) };
    let (_supervisor, client) = Supervisor::start(settings).await.unwrap();
    for death in 1..=2 {
        signal(&client, Signal::KILL);
        eventually("the driver is back", || client.status().restarts == death && client.status().ready).await;
    }
    let executable = place.file("bulkhead-driver-filesystem");
    fs::remove_file(&executable).unwrap();
    signal(&client, Signal::KILL);
    eventually("it is given up", || client.status().reason.contains("keeps failing")).await;
    let asked = Instant::now();
    let error = client.stat(&path("/a")).await.unwrap_err();
    assert_eq!(error.kind(), DriverErrorKind::Unavailable);
    assert!(asked.elapsed() < Duration::from_secs(1) && !client.status().ready);
    place.settings("filesystem", Socket::Inherit);
    eventually("it works again", || client.status().ready).await;
    assert_eq!(client.stat(&path("/a")).await.unwrap_err().kind(), DriverErrorKind::NotFound);
}

#[tokio::test]
async fn shutting_down_leaves_neither_a_process_nor_a_socket() {
    let place = Place::new();
    let (supervisor, client) = place.filesystem().await;
    let pid = Pid::from_raw(i32::try_from(client.status().pid.unwrap()).unwrap()).unwrap();
    supervisor.shutdown().await;
    assert!(test_kill_process(pid).is_err(), "the driver still lives");
    let left: Vec<_> = fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "store" || name == "bulkhead-driver-filesystem"), "{left:?}");
    assert_eq!(client.stat(&path("/a")).await.unwrap_err().kind(), DriverErrorKind::Unavailable);
}

#[tokio::test]
async fn a_dropped_supervisor_takes_its_driver_along() {
    let (supervisor, client) = Place::new().filesystem().await;
    let pid = Pid::from_raw(i32::try_from(client.status().pid.unwrap()).unwrap()).unwrap();
    drop(supervisor);
    eventually("the driver is dead", || test_kill_process(pid).is_err()).await;
}
