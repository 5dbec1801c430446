//! Hello: the first call on every new process.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use storagedriver_proto::handshake::handshake_client::HandshakeClient;
use storagedriver_proto::handshake::{HelloRequest, HelloResponse};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{PACKAGE, SERVICE};
use tonic::Request;
use tonic::transport::Channel;

use crate::case::cases;
use crate::expect::{Outcome, broken, ensure, equal, refused};
use crate::launch::Launch;
use crate::process::Driver;
use crate::raw;

cases! { "handshake":
    process Quick Every [H1] "Hello answers before Configure and after it, alike, and has no effect." => before_and_after_configure,
    process Quick Every [H1] "A driver's name has 1 to 63 characters of a-z, 0-9 and -." => has_a_name,
    process Quick Every [H2] "Hello lists the packages that the driver serves, also to a caller that speaks none of them." => lists_its_packages,
    process Quick Every [H3] "Hello echoes the bytes of the nonce, and none where there is none." => echoes_the_nonce,
    process Quick Every [H3] "The instance is random for each start of the process, the same while it lives, and not 0." => draws_an_instance,
    process Quick Every [H4] "The environment lists names of variables." => names_its_variables,
    process Quick Every [C2] "A driver ignores fields that it does not know." => ignores_unknown_fields,
}

/// How long a process may take to answer Hello after its start.
const HELLO: Duration = Duration::from_secs(10);

/// Hello on a connection of its own.
pub(super) async fn hello(driver: &Driver) -> Outcome<HelloResponse> {
    hello_on(driver.connect().await?).await
}

pub(super) async fn hello_on(channel: Channel) -> Outcome<HelloResponse> {
    let request = HelloRequest { protocols: vec![PACKAGE.to_owned()], ..Default::default() };
    Ok(HandshakeClient::new(channel).hello(request).await?.into_inner())
}

async fn before_and_after_configure(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let answer = tokio::time::timeout(HELLO, hello(&driver)).await;
    let Ok(before) = answer else { return broken(format!("Hello is not answered {HELLO:?} after the start")) };
    let before = before?;
    equal("a second Hello", hello(&driver).await?, before.clone())?;
    let client = driver.client().await?;
    refused("Stat after Hello", client.stat(&client.at("a")).await, Reason::NotConfigured)?;
    let client = driver.configured().await?;
    equal("Hello after Configure", hello(&driver).await?, before)?;
    refused("Stat after Configure and Hello", client.stat(&client.at("a")).await, Reason::NotFound).map(drop)
}

async fn has_a_name(launch: Launch) -> Outcome {
    let HelloResponse { driver_name, driver_version, .. } = hello(&Driver::start(&launch).await?).await?;
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let named = (1..=63).contains(&driver_name.len()) && driver_name.bytes().all(valid);
    ensure(named, || format!("the name is {driver_name:?}"))?;
    if driver_version.is_empty() {
        launch.journal().remark("the driver does not tell its version");
    }
    Ok(())
}

async fn lists_its_packages(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let own = hello(&driver).await?.protocols;
    let is_package = |name: &String| name.split('.').all(|part| !part.is_empty() && part.is_ascii());
    ensure(own.contains(&PACKAGE.to_owned()) && own.iter().all(is_package), || format!("the packages are {own:?}"))?;
    for protocols in [vec!["storagedriver.v99".to_owned()], vec![], vec![String::new(), "x".repeat(5000)]] {
        let request = HelloRequest { protocols, registry_name: "another".to_owned(), ..Default::default() };
        let answer = HandshakeClient::new(driver.connect().await?).hello(request.clone()).await?.into_inner();
        equal("the packages for a caller of others", &answer.protocols, &own)?;
    }
    Ok(())
}

async fn echoes_the_nonce(launch: Launch) -> Outcome {
    let nonces =
        [vec![], vec![0], vec![0x0a, 0xff, 0x00, 0x80], b"0x00".to_vec(), (0..=255).cycle().take(1000).collect()];
    for nonce in nonces {
        let driver = Driver::start_with_nonce(&launch, nonce.clone()).await?;
        equal("the nonce", hello(&driver).await?.nonce.to_vec(), nonce)?;
    }
    Ok(())
}

async fn draws_an_instance(launch: Launch) -> Outcome {
    const STARTS: usize = 4;
    let mut instances = BTreeSet::new();
    let mut driver = Driver::start(&launch).await?;
    for start in 0..STARTS {
        let instance = hello(&driver).await?.instance;
        ensure(instance != 0, || "the instance is 0".to_owned())?;
        equal("the instance of the same process", hello(&driver).await?.instance, instance)?;
        ensure(instances.insert(instance), || format!("start {start} has the instance {instance} of another"))?;
        driver.replace().await?;
    }
    let beside = |pair: (&u64, &u64)| pair.1 - pair.0 < 1 << 16;
    let close = instances.iter().zip(instances.iter().skip(1)).any(beside);
    ensure(!close, || format!("the instances {instances:?} are counted or taken from a clock, not random"))
}

async fn names_its_variables(launch: Launch) -> Outcome {
    let names = hello(&Driver::start(&launch).await?).await?.environment;
    let valid = |name: &String| {
        let bytes = name.as_bytes();
        let word = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        word && bytes.first().is_some_and(|first| !first.is_ascii_digit())
    };
    ensure(names.iter().all(valid), || format!("the names are {names:?}"))?;
    let once: BTreeSet<&String> = names.iter().collect();
    equal("the names that stand there once", once.len(), names.len())
}

async fn ignores_unknown_fields(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let hello = [raw::unknown_fields(), raw::field(3, PACKAGE.as_bytes()), raw::unknown_fields()].concat();
    let answer =
        raw::send(client.channel(), "/storagedriver.handshake.Handshake/Hello", Request::new(hello.into())).await?;
    let name = answer.windows(PACKAGE.len()).any(|window| window == PACKAGE.as_bytes());
    ensure(name, || format!("the answer to Hello with unknown fields is {answer:?}"))?;
    let list = Bytes::from([raw::field(1, client.root().as_bytes()), raw::unknown_fields()].concat());
    raw::send(client.channel(), &format!("/{SERVICE}/List"), Request::new(list)).await?;
    Ok(())
}
