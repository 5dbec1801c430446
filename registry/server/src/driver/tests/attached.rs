//! Drivers that somebody else runs, and connections that break between them and the registry.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::{Place, content, eventually, path};
use crate::driver::settings::{DriverSettings, Endpoint, RestartLimits, Way};
use crate::driver::{DriverClient, StartError, Supervisor};

fn attach(socket: PathBuf) -> DriverSettings {
    DriverSettings {
        name: "memory".to_owned(),
        way: Way::Attach(Endpoint::Unix(socket)),
        parameters: BTreeMap::new(),
        restart: RestartLimits::default(),
        descriptors: true,
    }
}

/// A driver that an operator has configured and started at `socket`; it is killed with what is returned.
fn operated_driver(place: &Place, socket: &FilePath) -> Child {
    let configuration = place.file("driver.json");
    fs::write(&configuration, serde_json::json!({ "rootdirectory": place.file("store") }).to_string()).unwrap();
    let mut command = Command::new(place.executable("filesystem"));
    command.arg("--listen").arg(format!("unix:{}", socket.display())).arg("--config").arg(configuration);
    command.stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

async fn attached(socket: PathBuf) -> (Supervisor, DriverClient) {
    Supervisor::start(attach(socket)).await.unwrap()
}

#[tokio::test]
async fn an_attached_driver_may_come_later_and_be_replaced() {
    let place = Place::new();
    let socket = place.file("driver.sock");
    let starting = tokio::spawn(attached(socket.clone()));
    sleep(Duration::from_millis(100)).await;
    let mut first = operated_driver(&place, &socket);
    let (supervisor, client) = starting.await.unwrap();
    client.put(&path("/a"), Bytes::from_static(b"kept")).await.unwrap();
    assert_eq!((client.status().ready, client.status().pid), (true, None));
    assert!(!client.is_sole_writer(), "another registry may be attached to it too");
    first.kill().await.unwrap();
    let _second = operated_driver(&place, &socket);
    assert_eq!(client.get(&path("/a"), 4).await.unwrap(), "kept");
    eventually("the new process was noticed", || client.status().restarts == 1 && client.status().ready).await;
    supervisor.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_at_the_socket_is_said_after_a_minute() {
    let refused = Supervisor::start(attach("/nowhere/driver.sock".into())).await.err().unwrap();
    assert!(matches!(refused, StartError::Silent { .. }), "{refused}");
}

/// A relay between the registry and a driver, which cuts every connection now and then.
async fn cutting_relay(from: PathBuf, to: PathBuf) {
    let listener = UnixListener::bind(from).unwrap();
    let mut connections = JoinSet::new();
    let mut cuts = interval(Duration::from_millis(60));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (mut near, _) = accepted.unwrap();
                if let Ok(mut far) = UnixStream::connect(&to).await {
                    connections.spawn(async move { copy_bidirectional(&mut near, &mut far).await.map(drop) });
                }
            }
            _ = cuts.tick() => connections.abort_all(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_may_be_cut_at_any_moment() {
    let place = Place::new();
    let (near, far) = (place.file("near.sock"), place.file("far.sock"));
    let _driver = operated_driver(&place, &far);
    let _relay = AbortOnDropHandle::new(tokio::spawn(cutting_relay(near.clone(), far)));
    let (supervisor, client) = attached(near).await;
    let content = content(48 << 20);
    for round in 0..4 {
        let (staging, target) = (path("/uploads/cut"), path("/blobs/cut"));
        let mut session = client.open_session(&staging, 0, None).await.unwrap();
        for piece in content.chunks(700_000).map(|piece| content.slice_ref(piece)) {
            session.write(piece).await.unwrap();
        }
        session.commit(&target).await.unwrap();
        let read: Vec<Bytes> = client.read(&target, 0, None).await.unwrap().try_collect().await.unwrap();
        assert!(read.concat() == content, "round {round}");
        client.delete(&target).await.unwrap();
    }
    supervisor.shutdown().await;
}
