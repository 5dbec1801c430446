//! Write sessions that outlive the process, the stream and the connection that wrote them.

use std::time::Duration;

use futures::future::try_join_all;
use futures::{StreamExt, stream};
use rand::Rng;
use rand::rngs::StdRng;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::{Flush, Kind};
use tokio::time::{Instant, timeout};

use crate::block::content;
use crate::case::cases;
use crate::client::{Client, Session};
use crate::expect::{Outcome, broken, ensure, equal, refused, same_bytes};
use crate::launch::Launch;
use crate::process::Driver;
use crate::proxy::{Line, Proxy};
use crate::repeat::{is_transport, repeat};

cases! { "resume":
    process Quick Durable [W5 W4 G3] "A session outlives the driver process and goes on at what is persisted." => after_a_kill,
    process Full Durable [W5 W3 G5 W1] "A write cut fifty times, by kills, ended streams and cut connections, is exact." => fifty_cuts,
    process Full Writing [W3 G5 W1 G10] "A write cut fifty times, by ended streams and cut connections, is exact." => fifty_cuts_of_the_line,
    process Quick Durable [W4 G2 N6] "Half a session and a kill leave nothing at the target." => half_a_session,
    process Quick Durable [D2 W5] "A session deleted before a kill does not come back." => deleted_before_a_kill,
    process Full Durable [H1 W5] "A driver is ready within 10 seconds among 300 sessions that a killed one left." => among_many_sessions,
}

/// How long a driver may take to be ready again.
const READY: Duration = Duration::from_secs(10);

async fn after_a_kill(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let unit = client.aligned(1_000_000) as usize;
    let wanted = content(4, 2 * unit);
    let (staging, target) = (client.at("staging"), client.at("target"));
    let _session = client.stage(&staging, &wanted[..unit]).await?;
    driver.replace().await?;
    let client = driver.configured().await?;
    refused("the target", client.stat(&target).await, Reason::NotFound)?;
    let mut session = client.open(&staging, unit as u64).await?;
    session.data(&wanted[unit..]).await;
    equal("persisted", session.flush().await?, 2 * unit as u64)?;
    drop(session);
    driver.replace().await?;
    let client = driver.configured().await?;
    client.commit(&staging, &target, 2 * unit as u64).await?;
    same_bytes("the target", &client.read(&target, 0, None).await?.1, &wanted)
}

/// One long write through a line that is cut.
struct Upload {
    driver: Driver,
    proxy: Proxy,
    client: Client,
    random: StdRng,
    wanted: Vec<u8>,
    /// What the driver told, over all streams.
    persisted: u64,
}

/// How an attempt ends.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    Kill,
    EndStream,
    Connection,
    /// Somewhere in the middle of the bytes.
    Line,
}

const CUTS: usize = 50;

async fn fifty_cuts(launch: Launch) -> Outcome {
    cut_again_and_again(launch, &[Cut::Kill, Cut::EndStream, Cut::Connection, Cut::Line]).await
}

async fn fifty_cuts_of_the_line(launch: Launch) -> Outcome {
    cut_again_and_again(launch, &[Cut::EndStream, Cut::Connection, Cut::Line]).await
}

async fn cut_again_and_again(launch: Launch, cuts: &[Cut]) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let capabilities = *driver.configured().await?.capabilities();
    let proxy = Proxy::before(driver.socket())?;
    let client = driver.client_through(proxy.socket()).await?.with_capabilities(capabilities);
    let size = client.aligned(48_000_000) as usize;
    let (staging, target) = (client.at("staging"), client.at("target"));
    client.open(&staging, 0).await?.end().await?;
    let mut upload =
        Upload { driver, proxy, client, random: launch.random(), wanted: content(5, size).to_vec(), persisted: 0 };
    for _ in 0..CUTS {
        let cut = cuts[upload.random.random_range(0..cuts.len())];
        upload.attempt(&staging, cut).await?;
    }
    upload.reconnect(Line::default()).await?;
    let mut session = upload.client.open(&staging, upload.persisted).await?;
    session.data(&upload.wanted[upload.persisted as usize..]).await;
    equal("persisted at last", session.flush().await?, size as u64)?;
    refused("the target before Commit", upload.client.stat(&target).await, Reason::NotFound)?;
    upload.client.commit(&staging, &target, size as u64).await?;
    same_bytes("the target", &upload.client.read(&target, 0, None).await?.1, &upload.wanted)
}

impl Upload {
    /// Connections that are not cut yet.
    async fn reconnect(&mut self, line: Line) -> Outcome {
        self.proxy.lay(line);
        let capabilities = *self.client.capabilities();
        self.client = self.driver.client_through(self.proxy.socket()).await?.with_capabilities(capabilities);
        Ok(())
    }

    /// Goes on where the driver said, for a random while, and is cut.
    async fn attempt(&mut self, staging: &str, cut: Cut) -> Outcome {
        let bytes = self.random.random_range(1..3_000_000);
        let line = if cut == Cut::Line { Line { to_driver: Some(bytes), ..Line::default() } } else { Line::default() };
        self.reconnect(line).await?;
        let (client, offset) = (self.client.clone(), self.persisted);
        let opened = open_again(&client, staging, offset, cut).await?;
        if let Some(mut session) = opened {
            let end = self.wanted.len().min(offset as usize + bytes as usize);
            self.write(&mut session, offset as usize, end).await?;
        }
        match cut {
            Cut::Kill => {
                self.driver.replace().await?;
                self.driver.configured().await?;
            }
            Cut::Connection => self.proxy.cut(),
            Cut::EndStream | Cut::Line => {}
        }
        Ok(())
    }

    /// Sends a part, flushes sometimes, and hears what is persisted meanwhile.
    async fn write(&mut self, session: &mut Session, start: usize, end: usize) -> Outcome {
        let mut heard = start as u64;
        for piece in self.wanted[start..end].chunks(200_000) {
            session.send(Kind::Data(piece.to_vec().into())).await;
        }
        if self.random.random_bool(0.6) {
            session.send(Kind::Flush(Flush {})).await;
        }
        let patience = Duration::from_millis(self.random.random_range(0..60));
        let deadline = Instant::now() + patience;
        while let Ok(answer) = tokio::time::timeout_at(deadline, session.answer()).await {
            let Ok(answer) = answer.map_err(|status| (is_transport(&status), status)) else { return Ok(()) };
            ensure(answer.persisted >= heard, || format!("persisted went from {heard} to {}", answer.persisted))?;
            ensure(answer.persisted <= end as u64, || format!("{} persisted of {end} sent", answer.persisted))?;
            heard = answer.persisted;
            if answer.flushed {
                break;
            }
        }
        self.persisted = heard;
        Ok(())
    }
}

/// Opens the session at what the driver told. A line that is cut before the answer is no fault of the driver.
async fn open_again(client: &Client, staging: &str, offset: u64, cut: Cut) -> Outcome<Option<Session>> {
    let opened = if cut == Cut::Line {
        client.open(staging, offset).await
    } else {
        repeat(|| client.open(staging, offset)).await
    };
    match opened {
        Err(status) if cut == Cut::Line && is_transport(&status) => Ok(None),
        Err(status) => broken(format!("open at {offset}, which was told as persisted, fails: {}", status.message())),
        Ok(session) => Ok(Some(session)),
    }
}

async fn half_a_session(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let (staging, target) = (client.at("staging"), client.at("target"));
    let session = client.open_for(&staging, 0, &target).await?;
    session.data(&content(6, 3_000_000)).await;
    let mut flushed = client.open_for(&client.at("other"), 0, &client.at("target-b")).await?;
    flushed.data(&content(7, 300_000)).await;
    flushed.flush().await?;
    driver.replace().await?;
    let client = driver.configured().await?;
    for target in [&target, &client.at("target-b")] {
        refused("the target", client.stat(target).await, Reason::NotFound)?;
    }
    let walked = client.walk(client.root(), "").await?.into_iter().flat_map(|message| message.entries);
    let foreign = walked.map(|entry| entry.path).find(|path| *path != staging && *path != client.at("other"));
    equal("what else Walk shows", foreign, None)
}

async fn deleted_before_a_kill(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let unit = client.aligned(1);
    for staging in ["one", "two/data"] {
        client.stage(&client.at(staging), &content(8, unit as usize)).await?.end().await?;
    }
    client.delete(&client.at("one"), false).await?;
    client.delete(&client.at("two"), true).await?;
    driver.replace().await?;
    let client = driver.configured().await?;
    for staging in ["one", "two/data"] {
        refused("open", client.open(&client.at(staging), unit).await, Reason::NotFound)?;
        refused("Commit", client.commit(&client.at(staging), &client.at("target"), unit).await, Reason::NotFound)?;
    }
    Ok(())
}

async fn among_many_sessions(launch: Launch) -> Outcome {
    const SESSIONS: usize = 300;
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let unit = client.aligned(1000);
    let wanted = content(9, unit as usize);
    let staging = |number: usize| client.at(&format!("{number}/data"));
    let beginning = stream::iter(0..SESSIONS).map(|number| {
        let (client, staging, wanted) = (&client, staging(number), &wanted);
        async move { client.stage(&staging, wanted).await }
    });
    let open: Vec<_> = beginning.buffer_unordered(32).collect().await;
    let open = open.into_iter().collect::<Result<Vec<_>, _>>()?;
    driver.kill().await?;
    drop(open);
    driver.replace().await?;
    let ready = timeout(READY, driver.configured()).await;
    let Ok(ready) = ready else { return broken(format!("it is not ready after {READY:?}")) };
    let again = ready?;
    let going_on = (0..SESSIONS).step_by(30).map(|number| {
        let (again, staging) = (&again, staging(number));
        async move { again.open(&staging, unit).await }
    });
    try_join_all(going_on).await?;
    Ok(())
}
