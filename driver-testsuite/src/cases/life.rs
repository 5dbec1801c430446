//! Section 2 of the contract, and what must survive the death of a process: each check starts its own.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use storagedriver_proto::handshake::handshake_client::HandshakeClient;
use storagedriver_proto::handshake::{HelloRequest, HelloResponse};
use storagedriver_proto::v1alpha1::capabilities::Durability;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{PACKAGE, ReadRequest, SERVICE, StatResponse, WriteResponse};
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
use crate::process::Driver;

cases! { "life":
    process Quick Every [L2] "A driver binds a path and replaces a dead socket." => a_driver_binds_a_path_and_replaces_a_dead_socket,
    process Quick Every [L5] "A driver ends with its registry." => a_driver_ends_with_its_registry,
    process Quick Every [L6] "A driver that is to stop finishes what it does." => a_driver_that_is_to_stop_finishes_what_it_does,
    process Quick Every [H1] "Hello answers before and after configure." => hello_answers_before_and_after_configure,
    process Quick Every [H3] "Every process has its own instance." => every_process_has_its_own_instance,
    process Quick Every [P1] "Health tells the process from the store." => health_tells_the_process_from_the_store,
    process Quick Every [K1] "Calls before configure are refused." => calls_before_configure_are_refused,
    process Quick Every [K2] "Parameters that are unknown are named." => parameters_that_are_unknown_are_named,
    process Quick Every [K2] "Configure can be repeated but not changed." => configure_can_be_repeated_but_not_changed,
    process Quick Every [C2] "Calls and messages that are none do no harm." => calls_and_messages_that_are_none_do_no_harm,
    process Quick Every [G7] "Cancelled reads leave nothing open." => cancelled_reads_leave_nothing_open,
    process Quick Every [G3] "What was acknowledged survives a kill." => what_was_acknowledged_survives_a_kill,
    process Quick Every [W5] "A session survives a kill." => a_session_survives_a_kill,
}

async fn hello(driver: &Driver) -> Outcome<HelloResponse> {
    let request = HelloRequest { protocols: vec![PACKAGE.to_owned()], ..Default::default() };
    Ok(HandshakeClient::new(driver.connect().await?).hello(request).await?.into_inner())
}

async fn a_driver_binds_a_path_and_replaces_a_dead_socket(launch: Launch) -> Outcome {
    let mut driver = Driver::start_by(&launch, Way::Path).await?;
    hello(&driver).await?;
    driver.replace().await?;
    ensure(driver.socket().exists(), || "the dead process left no socket behind, so nothing was checked".to_owned())?;
    let client = driver.configured().await?;
    client.put(&client.at("a"), "content").await?;
    Ok(())
}

async fn a_driver_ends_with_its_registry(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let _session = client.open(&client.at("staging"), 0).await?;
    driver.abandon();
    driver.exited(Duration::from_secs(5)).await?;
    Ok(())
}

async fn a_driver_that_is_to_stop_finishes_what_it_does(launch: Launch) -> Outcome {
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

async fn hello_answers_before_and_after_configure(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let before = hello(&driver).await?;
    equal("the nonce", &before.nonce[..], driver.nonce())?;
    equal("the protocols", before.protocols.contains(&PACKAGE.to_owned()), true)?;
    let name = &before.driver_name;
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure((1..=63).contains(&name.len()) && name.bytes().all(valid), || format!("the name is {name:?}"))?;
    driver.configured().await?;
    equal("hello after Configure", hello(&driver).await?, before)
}

async fn every_process_has_its_own_instance(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let first = hello(&driver).await?.instance;
    driver.replace().await?;
    let second = hello(&driver).await?.instance;
    ensure(first != 0 && second != 0 && first != second, || format!("the instances are {first} and {second}"))
}

async fn serving(driver: &Driver, service: &str) -> Outcome<ServingStatus> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(HealthClient::new(driver.connect().await?).check(request).await?.into_inner().status())
}

async fn health_tells_the_process_from_the_store(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    equal("the process before Configure", serving(&driver, "").await?, ServingStatus::Serving)?;
    equal("the store before Configure", serving(&driver, SERVICE).await?, ServingStatus::NotServing)?;
    driver.configured().await?;
    equal("the process", serving(&driver, "").await?, ServingStatus::Serving)?;
    equal("the store", serving(&driver, SERVICE).await?, ServingStatus::Serving)
}

async fn calls_before_configure_are_refused(launch: Launch) -> Outcome {
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

async fn parameters_that_are_unknown_are_named(launch: Launch) -> Outcome {
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

async fn configure_can_be_repeated_but_not_changed(launch: Launch) -> Outcome {
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

async fn calls_and_messages_that_are_none_do_no_harm(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    equal("an unknown call", send_nonsense(&client, "Nothing").await?, Code::Unimplemented)?;
    for method in ["Stat", "Get", "Put", "Read", "List", "Walk", "Move", "Delete", "Commit", "Configure"] {
        send_nonsense(&client, method).await?;
    }
    client.put(&client.at("a"), "content").await?;
    equal("the content", client.get(&client.at("a")).await?.1, "content".into())
}

async fn cancelled_reads_leave_nothing_open(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    client.store("a", &content(2, 4_000_000)).await?;
    client.read(&client.at("a"), 0, None).await?;
    let before = driver.descriptors()?;
    for _ in 0..8 {
        let request = || ReadRequest { path: client.at("a"), ..Default::default() };
        let mut streams = join_all((0..16).map(|_| client.open_read(request()))).await;
        for stream in streams.iter_mut().flatten() {
            stream.message().await?;
        }
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while driver.descriptors()? > before {
        ensure(tokio::time::Instant::now() < deadline, || format!("more than the {before} descriptors of before"))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn skip_volatile(client: &Client) -> Outcome {
    match client.capabilities().durability() {
        Durability::Unspecified | Durability::Volatile => not_offered("the store is volatile"),
        Durability::Process | Durability::Power => Ok(()),
    }
}

async fn what_was_acknowledged_survives_a_kill(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    skip_volatile(&client)?;
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

async fn a_session_survives_a_kill(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    skip_volatile(&client)?;
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
