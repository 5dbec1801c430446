//! Section 2 of the contract, and what must survive the death of a process: each check starts its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::join_all;
use storagedriver_proto::handshake::handshake_client::HandshakeClient;
use storagedriver_proto::handshake::{HelloRequest, HelloResponse};
use storagedriver_proto::v1alpha1::capabilities::Durability;
use storagedriver_proto::v1alpha1::storage_driver_client::StorageDriverClient;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{ListRequest, PACKAGE, ReadRequest, SERVICE, StatResponse, WriteResponse};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, not_offered, refused, same_bytes};
use crate::launch::{Launch, Way};
use crate::process::{Driver, connect};
use crate::raw::{self, unknown_fields};
use crate::vitals::{listening, readable};

cases! { "life":
    process Quick Every [L1] "A driver serves on the socket it inherits and binds no other; calls wait while it restarts."
        => inherits_a_socket,
    process Quick Every [L2] "A driver binds the path it is given, and replaces what a dead process left there." => binds_a_path,
    process Quick Every [L4] "Handshake, StorageDriver and health are served on one connection." => three_services,
    process Quick Writing [L5] "A driver ends within 5 seconds when its registry is dead." => ends_with_registry,
    process Quick Writing [L6] "On SIGTERM a driver finishes what is in flight and exits with 0." => drains,
    process Full Writing [L6] "On SIGTERM a driver refuses new calls, says NOT_SERVING, and ends though a reader never reads."
        => drains_in_time,
    process Quick Every [L7 K2 E1] "No log line and no message shows a secret." => secrets_hidden,
    process Quick Every [H1 H3] "Hello answers before and after Configure, with the nonce as it was given." => hello,
    process Quick Every [H2 C2] "A caller with foreign protocols gets the list, and unknown fields are ignored." => foreign_caller,
    process Quick Every [H3] "`instance` is random for each start of the process, and not 0." => instance,
    process Quick Every [H4] "The variables that a driver declares have names." => environment,
    process Quick Every [P1 P2] "Health tells the process from the store." => health,
    process Quick Every [K1] "Before Configure every other call is NOT_CONFIGURED." => unconfigured,
    process Quick Every [K2] "A parameter that is unknown is CONFIG_INVALID, and the message names it." => unknown_parameter,
    process Quick Writing [K2 C1] "Configure can be repeated and not changed." => configured_once,
    process Quick Writing [K3] "A parameter may be written `file:/path`, where it is secret." => secret_in_a_file,
    process Quick Writing [K4] "A driver without `shared` refuses a store that another process has open." => one_process,
    process Quick Writing [C2] "Calls and messages that are none do no harm." => nonsense,
    process Quick Writing [G7] "Cancelled Reads leave nothing open." => cancelled_reads,
    process Quick Durable [G3] "What was acknowledged survives the death of the process." => acknowledged_survives,
    process Quick Durable [W5] "A session survives the death of the process, and shows nothing meanwhile." => session_survives,
}

async fn greet(driver: &Driver) -> Outcome<HelloResponse> {
    let request = HelloRequest { protocols: vec![PACKAGE.to_owned()], ..Default::default() };
    Ok(HandshakeClient::new(driver.connect().await?).hello(request).await?.into_inner())
}

async fn binds_a_path(launch: Launch) -> Outcome {
    let mut driver = Driver::start_by(&launch, Way::Path).await?;
    greet(&driver).await?;
    driver.replace().await?;
    ensure(driver.socket().exists(), || "the dead process left no socket behind, so nothing was checked".to_owned())?;
    let client = driver.configured().await?;
    client.put(&client.at("a"), "content").await?;
    Ok(())
}

async fn ends_with_registry(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let _session = client.open(&client.at("staging"), 0).await?;
    driver.abandon();
    driver.exited(Duration::from_secs(5)).await?;
    Ok(())
}

async fn drains(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let wanted = content(1, 8_000_000);
    client.store("a", &wanted).await?;
    let request = ReadRequest { path: client.at("a"), ..Default::default() };
    let mut messages = client.open_read(request).await?;
    let mut seen = messages.message().await?.unwrap_or_default().data.to_vec();
    driver.terminate()?;
    while let Some(message) = messages.message().await? {
        seen.extend_from_slice(&message.data);
    }
    same_bytes("a read that was under way", &seen, &wanted)?;
    let status = driver.exited(Duration::from_secs(11)).await?;
    equal("the exit code", status.code(), Some(0))
}

async fn hello(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let before = greet(&driver).await?;
    equal("the nonce", &before.nonce[..], driver.nonce())?;
    equal("the protocols", before.protocols.contains(&PACKAGE.to_owned()), true)?;
    let name = &before.driver_name;
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure((1..=63).contains(&name.len()) && name.bytes().all(valid), || format!("the name is {name:?}"))?;
    driver.configured().await?;
    equal("hello after Configure", greet(&driver).await?, before)
}

async fn instance(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let first = greet(&driver).await?.instance;
    driver.replace().await?;
    let second = greet(&driver).await?.instance;
    ensure(first != 0 && second != 0 && first != second, || format!("the instances are {first} and {second}"))
}

async fn serving(driver: &Driver, service: &str) -> Outcome<ServingStatus> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(HealthClient::new(driver.connect().await?).check(request).await?.into_inner().status())
}

async fn health(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    equal("the process before Configure", serving(&driver, "").await?, ServingStatus::Serving)?;
    equal("the store before Configure", serving(&driver, SERVICE).await?, ServingStatus::NotServing)?;
    driver.configured().await?;
    equal("the process", serving(&driver, "").await?, ServingStatus::Serving)?;
    equal("the store", serving(&driver, SERVICE).await?, ServingStatus::Serving)
}

async fn unconfigured(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.client().await?;
    let path = client.at("a");
    let results: [(&str, Result<(), Status>); 10] = [
        ("Stat", client.stat(&path).await.map(drop)),
        ("Get", client.get(&path).await.map(drop)),
        ("Put", client.put(&path, "x").await.map(drop)),
        ("Read", client.read(&path, 0, None).await.map(drop)),
        ("List", client.list("/", "", 0).await.map(drop)),
        ("Walk", client.walk("/", "").await.map(drop)),
        ("Move", client.rename(&path, &path).await.map(drop)),
        ("Delete", client.delete(&path, false).await),
        ("Write", client.open(&path, 0).await.map(drop)),
        ("Commit", client.commit(&path, &path, 0).await.map(drop)),
    ];
    for (call, result) in results {
        refused(call, result, Reason::NotConfigured)?;
    }
    Ok(())
}

async fn unknown_parameter(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.client().await?;
    let mut parameters = driver.parameters();
    parameters.insert("no_driver_knows_this".to_owned(), "hunter2".to_owned());
    let result = client.configure(parameters).await;
    let message = result.as_ref().err().map(|status| status.message().to_owned()).unwrap_or_default();
    refused("Configure", result, Reason::ConfigInvalid)?;
    ensure(message.contains("no_driver_knows_this") && !message.contains("hunter2"), || message)?;
    ensure(!driver.log()?.contains("hunter2"), || "the log shows a secret".to_owned())?;
    client.configure(driver.parameters()).await?;
    Ok(())
}

async fn configured_once(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.client().await?;
    let answers = join_all((0..4).map(|_| client.configure(driver.parameters()))).await;
    let first = client.configure(driver.parameters()).await?;
    for answer in answers {
        equal("the capabilities", answer?, first)?;
    }
    let others = BTreeMap::from([("no_driver_knows_this".to_owned(), String::new())]);
    refused("Configure with others", client.configure(others).await, Reason::ConfigInvalid)?;
    client.put(&client.at("a"), "content").await?;
    Ok(())
}

/// Sends a message that the method does not take.
async fn send_nonsense(client: &Client, method: &str) -> Outcome<Code> {
    let path = PathAndQuery::try_from(format!("/{SERVICE}/{method}"));
    let path = path.map_err(|problem| Status::internal(problem.to_string()))?;
    let mut grpc = Grpc::new(client.channel());
    grpc.ready().await.map_err(|problem| Status::unavailable(problem.to_string()))?;
    // Its field 1 is a number, where the requests have a text.
    let message = Request::new(WriteResponse { persisted: 7, flushed: true });
    let codec = ProstCodec::<WriteResponse, StatResponse>::default();
    match grpc.unary(message, path, codec).await {
        Ok(_) => broken(format!("{method} takes nonsense")),
        Err(status) => Ok(status.code()),
    }
}

async fn nonsense(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    equal("an unknown call", send_nonsense(&client, "Nothing").await?, Code::Unimplemented)?;
    for method in ["Stat", "Get", "Put", "Read", "List", "Walk", "Move", "Delete", "Commit", "Configure"] {
        send_nonsense(&client, method).await?;
    }
    client.put(&client.at("a"), "content").await?;
    equal("the content", client.get(&client.at("a")).await?.1, "content".into())
}

async fn cancelled_reads(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    client.store("a", &content(2, 4_000_000)).await?;
    client.read(&client.at("a"), 0, None).await?;
    let before = driver.vitals()?.descriptors;
    for _ in 0..8 {
        let request = || ReadRequest { path: client.at("a"), ..Default::default() };
        let mut streams = join_all((0..16).map(|_| client.open_read(request()))).await;
        for stream in streams.iter_mut().flatten() {
            stream.message().await?;
        }
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while driver.vitals()?.descriptors > before {
        ensure(tokio::time::Instant::now() < deadline, || format!("more than the {before} descriptors of before"))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn acknowledged_survives(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let paths: Vec<String> = (0..50).map(|number| client.at(&format!("{number}/data"))).collect();
    for path in &paths {
        client.put(path, path.clone()).await?;
    }
    client.store("large", &content(3, 3_000_000)).await?;
    client.rename(&paths[0], &client.at("moved")).await?;
    client.delete(&paths[1], false).await?;
    driver.replace().await?;
    let client = driver.configured().await?;
    for path in &paths[2..] {
        equal("content after a kill", client.get(path).await?.1, path.clone().into())?;
    }
    equal("moved content", client.get(&client.at("moved")).await?.1, paths[0].clone().into())?;
    refused("deleted content", client.stat(&paths[1]).await, Reason::NotFound)?;
    same_bytes("committed content", &client.read(&client.at("large"), 0, None).await?.1, &content(3, 3_000_000))
}

async fn session_survives(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let unit = client.aligned(1_000_000) as usize;
    let wanted = content(4, 2 * unit);
    let staging = client.at("staging");
    let _session = client.stage(&staging, &wanted[..unit]).await?;
    driver.replace().await?;
    let client = driver.configured().await?;
    refused("the target", client.stat(&client.at("target")).await, Reason::NotFound)?;
    let mut session = client.open(&staging, unit as u64).await?;
    session.data(&wanted[unit..]).await;
    equal("persisted", session.flush().await?, 2 * unit as u64)?;
    client.commit(&staging, &client.at("target"), 2 * unit as u64).await?;
    same_bytes("the target", &client.read(&client.at("target"), 0, None).await?.1, &wanted)
}

async fn inherits_a_socket(launch: Launch) -> Outcome {
    if launch.way() == Way::Path {
        return not_offered("an inherited socket: the driver binds its own");
    }
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    client.put(&client.at("a"), "content").await?;
    let ours = driver.socket().to_string_lossy().into_owned();
    let others: Vec<String> = listening(driver.id()?)?.into_iter().filter(|address| *address != ours).collect();
    ensure(others.is_empty(), || format!("it listens on {others:?} besides"))?;
    driver.kill().await?;
    let waiting = tokio::spawn(connect_and_greet(driver.socket().to_owned()));
    driver.replace().await?;
    waiting.await.map_err(|problem| Status::internal(problem.to_string()))?
}

async fn connect_and_greet(socket: PathBuf) -> Outcome {
    let request = HelloRequest { protocols: vec![PACKAGE.to_owned()], ..Default::default() };
    HandshakeClient::new(connect(&socket).await?).hello(request).await?;
    Ok(())
}

async fn three_services(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    for channel in [client.channel(), driver.connect().await?] {
        let request = HelloRequest { protocols: vec![PACKAGE.to_owned()], ..Default::default() };
        HandshakeClient::new(channel.clone()).hello(request).await?;
        HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await?;
        let list = ListRequest { path: "/".to_owned(), ..Default::default() };
        StorageDriverClient::new(channel).list(list).await?;
    }
    Ok(())
}

async fn drains_in_time(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let watcher = driver.connect().await?;
    client.store("a", &content(1, 8_000_000)).await?;
    let request = ReadRequest { path: client.at("a"), ..Default::default() };
    let mut unread = client.open_read(request).await?;
    unread.message().await?;
    driver.terminate()?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        let mut health = HealthClient::new(watcher.clone());
        // A connection that is taken by nobody any more waits in an inherited socket.
        let told = tokio::time::timeout(Duration::from_secs(1), health.check(HealthCheckRequest::default())).await;
        let told = told.unwrap_or_else(|_| Err(Status::unavailable("nobody answers")));
        match told.map(|answer| answer.into_inner().status()) {
            Ok(ServingStatus::Serving) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(ServingStatus::Serving) => return broken("it is SERVING after SIGTERM"),
            Ok(_) | Err(_) => break,
        }
    }
    // On an inherited socket a call waits for the next process. One that crossed the news on its way may be taken.
    let path = client.at("b");
    while matches!(tokio::time::timeout(Duration::from_secs(1), client.put(&path, "content")).await, Ok(Ok(_))) {
        let late = tokio::time::Instant::now() > deadline;
        ensure(!late, || "calls that come 5 seconds after SIGTERM are taken".to_owned())?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = driver.exited(Duration::from_secs(12)).await?;
    equal("the exit code", status.code(), Some(0))
}

async fn secrets_hidden(launch: Launch) -> Outcome {
    const SECRET: &str = "s3cr3t-0f-a-t3st";
    let driver = Driver::start(&launch).await?;
    let client = driver.client().await?;
    let mut parameters = driver.parameters();
    parameters.insert("no_driver_knows_this".to_owned(), SECRET.to_owned());
    let refusal = client.configure(parameters).await;
    let message = refusal.err().map(|status| status.message().to_owned()).unwrap_or_default();
    let shown = [driver.log()?, driver.output()?, readable(driver.id()?)?, message];
    for (place, text) in
        ["the log", "the output", "what anybody can see of the process", "the message"].iter().zip(shown)
    {
        ensure(!text.contains(SECRET), || format!("{place} shows the value of a parameter: {text}"))?;
    }
    Ok(())
}

async fn foreign_caller(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let request = HelloRequest { protocols: vec!["storagedriver.v9".to_owned()], ..Default::default() };
    let answer = HandshakeClient::new(driver.connect().await?).hello(request).await?.into_inner();
    ensure(answer.protocols.contains(&PACKAGE.to_owned()), || format!("it lists {:?}", answer.protocols))?;
    let hello = Request::new(unknown_fields().into());
    raw::send(driver.connect().await?, "/storagedriver.handshake.Handshake/Hello", hello).await?;
    let client = driver.configured().await?;
    let stat = [raw::field(1, b"/nothing/here"), unknown_fields()].concat();
    let status = raw::send(client.channel(), &format!("/{SERVICE}/Stat"), Request::new(stat.into())).await;
    refused("Stat with unknown fields", status, Reason::NotFound).map(drop)
}

async fn environment(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let valid =
        |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let names = greet(&driver).await?.environment;
    ensure(names.iter().all(valid), || format!("it declares {names:?}"))
}

/// Parts of the names of parameters that are secret.
const SECRET_NAMES: [&str; 4] = ["secret", "password", "token", "accesskey"];

async fn secret_in_a_file(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let mut parameters = driver.parameters();
    let folder = tempfile::tempdir()?;
    let secret = parameters.iter().find(|(name, _)| SECRET_NAMES.iter().any(|part| name.contains(part)));
    let Some((name, value)) = secret.map(|(name, value)| (name.clone(), value.clone())) else {
        return not_offered("a secret among the parameters of this run");
    };
    let file = folder.path().join("secret");
    std::fs::write(&file, &value)?;
    parameters.insert(name, format!("file:{}", file.display()));
    let client = driver.client().await?;
    client.configure(parameters).await?;
    client.put(&client.at("a"), "content").await?;
    Ok(())
}

async fn one_process(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    if client.capabilities().shared {
        return not_offered("a store of one process: it is shared");
    }
    if client.capabilities().durability() <= Durability::Volatile {
        return not_offered("a store that two processes could open: it is volatile");
    }
    let other = driver.beside().await?;
    let second = other.client().await?.configure(other.parameters()).await;
    refused("Configure of a store that is open", second, Reason::Unavailable)?;
    client.put(&client.at("a"), "content").await?;
    drop(driver);
    let freed = tokio::time::timeout(Duration::from_secs(10), async {
        while other.client().await?.configure(other.parameters()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Outcome::Ok(())
    });
    freed.await.unwrap_or_else(|_| broken("the store stays closed after the process that had it is dead"))
}
