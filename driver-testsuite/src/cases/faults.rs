//! A bad line, and callers that are bad or gone.

use std::time::Duration;

use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use rand::Rng;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{ReadRequest, SERVICE};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::metadata::{MetadataKey, MetadataValue};
use tonic::{Code, Request, Status};

use super::handshake::hello;
use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, refused, same_bytes};
use crate::launch::Launch;
use crate::process::Driver;
use crate::proxy::{Line, Proxy};
use crate::raw;
use crate::repeat::{Reading, is_transport, repeat, walk_on};

cases! { "faults":
    process Quick Every [L4] "Calls that the driver does not know are UNIMPLEMENTED." => unknown_calls,
    process Quick Every [C2 P1] "Messages that cannot be read fail alone." => garbage_messages,
    process Quick Writing [C2] "A message of a kind that the driver does not know changes nothing in a write." => unknown_kind,
    process Quick Every [L4 P1] "Bytes that are no HTTP/2 end their connection and no other." => garbage_connections,
    process Quick Writing [U2 L4] "A message of 5 MiB is refused, and the driver goes on." => huge_message,
    process Quick Every [P1] "A call with a thousand headers leaves the driver as it is." => many_headers,
    process Full Writing [R1 G4] "A Read that is cut goes on at the offset reached, exactly." => cut_reads,
    process Full Writing [A1 A2] "A Walk that is cut goes on after the last path, exactly." => cut_walks,
    process Full Writing [U1 M1 D1 O3 G2] "Calls whose answers are lost have happened once, whole, or not." => lost_answers,
    process Quick Writing [U1 M1 D1 O3] "A call that is made twice has happened once." => twice,
    process Quick Writing [G10 W4] "A connection closed from one side publishes nothing." => half_closed,
    process Full Writing [G9] "A connection that is not read holds up no other." => silent_caller,
    process Quick Writing [G4 W3] "A slow line changes nothing." => slow_line,
}

/// How long a driver that is well may take for a small call.
const ANSWER: Duration = Duration::from_secs(5);

async fn unknown_calls(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    for method in [format!("/{SERVICE}/Nothing"), "/storagedriver.v99.StorageDriver/Stat".to_owned(), "/a/b".to_owned()]
    {
        let result = raw::send(client.channel(), &method, Request::new(Bytes::new())).await;
        equal(&method, result.err().map(|status| status.code()), Some(Code::Unimplemented))?;
    }
    alive(&driver, &client).await
}

/// The same process answers, on the old connection and on a new one.
async fn alive(driver: &Driver, client: &Client) -> Outcome {
    driver.vitals()?;
    let Ok(stat) = timeout(ANSWER, client.stat(&client.at("nothing"))).await else {
        return broken(format!("Stat is not answered within {ANSWER:?}"));
    };
    refused("Stat", stat, Reason::NotFound)?;
    hello(driver).await.map(drop)
}

async fn unknown_kind(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let wanted = content(7, 2 * client.aligned(1000) as usize);
    let (first, second) = wanted.split_at(wanted.len() / 2);
    let mut session = client.open(&client.at("staging"), 0).await?;
    for part in [first, second] {
        session.data(part).await;
        session.send_unknown().await;
    }
    equal("persisted", session.flush().await?, wanted.len() as u64)?;
    client.commit(&client.at("staging"), &client.at("a"), wanted.len() as u64).await?;
    same_bytes("the content", &client.read(&client.at("a"), 0, None).await?.1, &wanted)
}

async fn garbage_messages(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let instance = hello(&driver).await?.instance;
    let nonsense = [vec![0xff; 40], vec![0x0a, 0x7f, 1], raw::field(1, &[0xc3, 0x28])];
    for method in
        ["Configure", "Stat", "Get", "Put", "Read", "List", "Walk", "Move", "Delete", "RedirectUrl", "Write", "Commit"]
    {
        for message in &nonsense {
            let message = Request::new(Bytes::from(message.clone()));
            let method = format!("/{SERVICE}/{method}");
            let sending = raw::send(client.channel(), &method, message);
            let Ok(result) = timeout(ANSWER, sending).await else {
                return broken(format!("{method} does not answer nonsense within {ANSWER:?}"));
            };
            ensure(result.is_err(), || format!("{method} takes nonsense"))?;
        }
    }
    alive(&driver, &client).await?;
    equal("the instance", hello(&driver).await?.instance, instance)
}

async fn garbage_connections(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let mut random = launch.random();
    let noise: Vec<u8> = (0..10_000).map(|_| random.random()).collect();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for bytes in
        [&b""[..], b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", &noise, &[&preface[..], &noise].concat(), preface]
    {
        let mut connection = UnixStream::connect(driver.socket()).await?;
        // A driver that has seen enough closes, and then this fails.
        let _ = connection.write_all(bytes).await;
        let _ = connection.shutdown().await;
        alive(&driver, &client).await?;
    }
    Ok(())
}

async fn huge_message(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let put = client.put(&client.at("a"), content(1, 5 << 20)).await;
    ensure(put.is_err(), || "a Put of 5 MiB is OK".to_owned())?;
    refused("what a Put of 5 MiB left", client.stat(&client.at("a")).await, Reason::NotFound)?;
    alive(&driver, &client).await
}

async fn many_headers(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let mut request = Request::new(Bytes::from(raw::field(1, client.root().as_bytes())));
    for number in 0..1000 {
        let key = MetadataKey::from_bytes(format!("x-header-{number}").as_bytes());
        let key = key.map_err(|problem| Status::internal(problem.to_string()))?;
        request.metadata_mut().insert(key, MetadataValue::from_static("a value that nobody reads"));
    }
    // Whether it is answered is not said.
    let _ = timeout(Duration::from_secs(5), raw::send(client.channel(), &format!("/{SERVICE}/List"), request)).await;
    let client = driver.client().await?;
    alive(&driver, &client).await
}

/// A client whose connections are new, and cut after so many bytes to it.
async fn cut_client(driver: &Driver, proxy: &Proxy, to_caller: u64) -> Outcome<Client> {
    proxy.lay(Line { to_caller: Some(to_caller), ..Line::default() });
    Ok(driver.client_through(proxy.socket()).await?)
}

async fn cut_reads(launch: Launch) -> Outcome {
    const SIZE: usize = 20_000_000;
    let mut random = launch.random();
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let wanted = content(2, SIZE);
    client.store("a", &wanted).await?;
    let proxy = Proxy::before(driver.socket())?;
    let (mut reading, mut cuts) = (Reading::default(), 0);
    while reading.seen.len() < SIZE {
        let client = cut_client(&driver, &proxy, random.random_range(1..2_000_000)).await?;
        match reading.go_on(&client, &client.at("a")).await {
            Ok(()) => equal("the bytes of a Read that ended with OK", reading.seen.len(), SIZE)?,
            Err(status) => transport(status)?,
        }
        cuts += 1;
        ensure(cuts < 1000, || format!("no progress beyond {} bytes", reading.seen.len()))?;
    }
    same_bytes("the content", &reading.seen, &wanted)
}

/// A cut line is all that may have failed the call.
fn transport(status: Status) -> Outcome {
    if is_transport(&status) { Ok(()) } else { Err(status.into()) }
}

async fn cut_walks(launch: Launch) -> Outcome {
    let mut random = launch.random();
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let mut paths: Vec<String> =
        (0..2500).map(|number| client.at(&format!("{:02}/{number:04}", number % 60))).collect();
    for some in paths.chunks(64) {
        try_join_all(some.iter().map(|path| client.put(path, "x"))).await?;
    }
    paths.sort();
    let proxy = Proxy::before(driver.socket())?;
    let mut seen = Vec::new();
    for attempt in 0.. {
        ensure(attempt < 300, || format!("no progress beyond {:?}", seen.last()))?;
        // It grows, so that a message of 1000 entries passes once.
        let client = cut_client(&driver, &proxy, random.random_range(1..(20_000 + attempt * 5_000))).await?;
        match walk_on(&client, client.root(), &mut seen).await {
            Ok(()) => break,
            Err(status) => transport(status)?,
        }
    }
    let difference = seen.iter().zip(&paths).find(|(seen, wanted)| seen != wanted);
    ensure(seen == paths, || format!("{} paths of {}, first other: {difference:?}", seen.len(), paths.len()))
}

async fn lost_answers(launch: Launch) -> Outcome {
    let mut random = launch.random();
    let driver = Driver::start(&launch).await?;
    let direct = driver.configured().await?;
    let proxy = Proxy::before(driver.socket())?;
    for round in 0..25 {
        let (text, path) = (format!("content {round}"), direct.at(&format!("{round}/a")));
        let (staging, target) = (direct.at(&format!("{round}/staging")), direct.at(&format!("{round}/c")));
        let doomed = direct.at(&format!("{round}/doomed"));
        let size = direct.aligned(50_000);
        direct.stage(&staging, &content(round, size as usize)).await?.end().await?;
        direct.put(&doomed, "x").await?;
        let cut = cut_client(&driver, &proxy, random.random_range(1..250)).await?;
        let first = cut.put(&path, text.clone()).await.map(drop);
        let _ = cut.delete(&doomed, false).await;
        let _ = cut.commit(&staging, &target, size).await;
        first.or_else(transport)?;
        proxy.lay(Line::default());
        repeat(|| direct.put(&path, text.clone())).await?;
        repeat(|| direct.delete(&doomed, false)).await?;
        repeat(|| direct.commit(&staging, &target, size)).await?;
        equal("a Put that was repeated", direct.get(&path).await?.1, text.into())?;
        same_bytes(
            "a Commit that was repeated",
            &direct.read(&target, 0, None).await?.1,
            &content(round, size as usize),
        )?;
        refused("a Delete that was repeated", direct.stat(&doomed).await, Reason::NotFound)?;
    }
    Ok(())
}

async fn twice(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let (a, b, staging, target) = (client.at("a"), client.at("b"), client.at("staging"), client.at("target"));
    for put in join_all([client.put(&a, "content"), client.put(&a, "content")]).await {
        put?;
    }
    let moves = join_all([client.rename(&a, &b), client.rename(&a, &b)]).await;
    equal("the moves that are OK", moves.iter().filter(|result| result.is_ok()).count(), 1)?;
    refused(
        "the other Move",
        moves.into_iter().find(Result::is_err).unwrap_or(Ok(Default::default())),
        Reason::NotFound,
    )?;
    equal("the target of both", client.get(&b).await?.1, "content".into())?;
    refused("Move once more", client.rename(&a, &b).await, Reason::NotFound)?;
    equal("the target of three", client.get(&b).await?.1, "content".into())?;
    for delete in join_all([client.delete(&b, false), client.delete(&b, false)]).await {
        delete?;
    }
    let size = client.aligned(1);
    let _session = client.stage(&staging, &content(1, size as usize)).await?;
    for commit in join_all([client.commit(&staging, &target, size), client.commit(&staging, &target, size)]).await {
        commit?;
    }
    same_bytes("what was committed twice", &client.read(&target, 0, None).await?.1, &content(1, size as usize))
}

async fn half_closed(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let direct = driver.configured().await?;
    let proxy = Proxy::before(driver.socket())?;
    let capabilities = *direct.capabilities();
    let client = driver.client_through(proxy.socket()).await?.with_capabilities(capabilities);
    let unit = client.aligned(100_000);
    let (staging, target) = (client.at("staging"), client.at("target"));
    let mut session = client.open_for(&staging, 0, &target).await?;
    session.data(&content(1, unit as usize)).await;
    session.flush().await?;
    session.data(b"more").await;
    proxy.half_close();
    let _ = timeout(Duration::from_secs(5), session.ended()).await;
    refused("the target", direct.stat(&target).await, Reason::NotFound)?;
    let mut session = direct.open(&staging, unit).await?;
    equal("persisted", session.flush().await?, unit)?;
    alive(&driver, &direct).await
}

async fn silent_caller(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let direct = driver.configured().await?;
    let wanted = content(3, 8_000_000);
    direct.store("a", &wanted).await?;
    let proxy = Proxy::before(driver.socket())?;
    let silent = driver.client_through(proxy.socket()).await?;
    let request = || ReadRequest { path: silent.at("a"), ..Default::default() };
    let mut reads = try_join_all((0..40).map(|_| silent.open_read(request()))).await?;
    proxy.hold(true);
    for _ in 0..10 {
        let quick = timeout(Duration::from_secs(5), direct.put(&direct.at("b"), "content")).await;
        ensure(matches!(quick, Ok(Ok(_))), || format!("Put beside a connection that is not read: {quick:?}"))?;
    }
    let whole = timeout(Duration::from_secs(10), direct.read(&direct.at("a"), 0, None)).await;
    let Ok(whole) = whole else { return broken("a Read beside a connection that is not read takes over 10 s") };
    same_bytes("a Read beside a connection that is not read", &whole?.1, &wanted)?;
    proxy.hold(false);
    let mut seen = Vec::new();
    while let Some(message) = reads[0].message().await? {
        seen.extend_from_slice(&message.data);
    }
    same_bytes("a Read that was held", &seen, &wanted)
}

async fn slow_line(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let capabilities = *driver.configured().await?.capabilities();
    let proxy = Proxy::before(driver.socket())?;
    proxy.lay(Line { delay: Duration::from_millis(5), ..Line::default() });
    let client = driver.client_through(proxy.socket()).await?.with_capabilities(capabilities);
    let wanted = content(4, 2_000_000);
    client.store("a", &wanted).await?;
    same_bytes("the content", &client.read(&client.at("a"), 0, None).await?.1, &wanted)
}
