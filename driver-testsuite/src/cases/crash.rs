//! Processes that are killed or stand still, and lines that break: nothing acknowledged is lost, nothing is torn.

use std::time::Duration;

use rand::Rng;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, refused, same_bytes};
use crate::launch::Launch;
use crate::process::Driver;
use crate::proxy::{Line, Proxy};
use crate::repeat::{Reading, is_transport, repeat, walk_on};

cases! { "crash":
    process Full Durable [G3 G2] "What was acknowledged before a kill at any instant is there, and nothing is torn." => kill_while_putting,
    process Full Durable [M1 G2] "A Move that a kill cuts leaves the content at its source or its target, whole." => kill_while_moving,
    process Full Durable [D1] "A recursive Delete that a kill cuts converges when it is repeated." => kill_while_deleting,
    process Full Durable [O3 G2] "A Commit that a kill cuts has published all or nothing, and is settled by repeating it."
        => kill_while_committing,
    process Full Durable [W1 W5 G5] "A write that is cut fifty times continues at what is persisted, and is exact." => fifty_cuts,
    process Full Durable [W5 G6] "A driver with hundreds of half sessions starts at once, and shows none of them." => many_half_sessions,
    process Full Durable [G2 G7] "A driver that stood still goes on, and does nothing twice." => stands_still,
    process Full Writing [R3 A1 G4] "A Read and a Walk over a line that breaks continue where they were." => broken_line,
    process Full Writing [G7 G10 W4] "A line that breaks in a write publishes nothing and ends no session." => broken_write,
    process Full Writing [G9] "A caller who stops reading and writing holds up no other." => held_line,
    process Quick Writing [O3 D1 M1] "Every call that changes something may come twice." => twice,
}

/// Kills the driver at a random instant while `calls` run, starts another, and gives a caller of it.
async fn kill_within<T>(
    driver: &mut Driver,
    instant: Duration,
    calls: impl Future<Output = T>,
) -> Outcome<(Option<T>, Client)> {
    let mut calls = std::pin::pin!(calls);
    let done = tokio::select! {
        done = &mut calls => Some(done),
        () = tokio::time::sleep(instant) => None,
    };
    driver.kill().await?;
    // What was in flight ends with the process, and its end is no answer.
    let done = match done {
        Some(done) => Some(done),
        None => tokio::time::timeout(Duration::from_millis(50), calls).await.ok(),
    };
    driver.replace().await?;
    Ok((done, driver.configured().await?))
}

async fn kill_while_putting(launch: Launch) -> Outcome {
    let mut random = launch.random();
    let mut driver = Driver::start(&launch).await?;
    let mut client = driver.configured().await?;
    for round in 0..8u64 {
        let acknowledged = std::sync::Mutex::new(Vec::new());
        let putting = async {
            for number in 0..10_000u64 {
                let size = (number * 977 % 30_000) as usize;
                let path = client.at(&format!("{round}/{}", number % 50));
                if client.put(&path, content(number, size)).await.is_err() {
                    break;
                }
                acknowledged.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(number);
            }
        };
        let instant = Duration::from_millis(random.random_range(5..120));
        let (_, after) = kill_within(&mut driver, instant, putting).await?;
        let acknowledged = acknowledged.into_inner().unwrap_or_default();
        check_puts(&after, round, acknowledged.last().copied()).await?;
        client = after;
    }
    Ok(())
}

/// Each of the fifty paths has the last content that was acknowledged there, or the one that was on its way.
async fn check_puts(client: &Client, round: u64, last: Option<u64>) -> Outcome {
    let Some(last) = last else { return Ok(()) };
    for place in 0..50 {
        let newest = (0..=last).rev().find(|number| number % 50 == place);
        let on_its_way = last + 1;
        let candidates = newest.into_iter().chain((on_its_way % 50 == place).then_some(on_its_way));
        let wanted: Vec<_> = candidates.map(|number| content(number, (number * 977 % 30_000) as usize)).collect();
        match client.get(&client.at(&format!("{round}/{place}"))).await {
            Ok((_, seen)) => {
                ensure(wanted.contains(&seen), || format!("{round}/{place}: {} torn or old bytes", seen.len()))?
            }
            missing if newest.is_none() => drop(refused("Get", missing, Reason::NotFound)?),
            Err(status) => return broken(format!("{round}/{place} was acknowledged, and is {status:?}")),
        }
    }
    Ok(())
}

async fn kill_while_moving(launch: Launch) -> Outcome {
    let mut random = launch.random();
    let mut driver = Driver::start(&launch).await?;
    let mut client = driver.configured().await?;
    let wanted = content(1, 200_000);
    for _ in 0..8 {
        let places = ["a", "b"].map(|name| client.at(name));
        client.put(&places[0], wanted.clone()).await?;
        let moving = async {
            for round in 0..10_000 {
                if client.rename(&places[round % 2], &places[(round + 1) % 2]).await.is_err() {
                    break;
                }
            }
        };
        let (_, after) = kill_within(&mut driver, Duration::from_millis(random.random_range(2..60)), moving).await?;
        let mut found = 0;
        for place in &places {
            match after.get(place).await {
                Ok((_, seen)) => same_bytes("a content that moved", &seen, &wanted).map(|()| found += 1)?,
                missing => drop(refused("Get", missing, Reason::NotFound)?),
            }
        }
        ensure(found > 0, || "the content is at neither place".to_owned())?;
        client = after;
    }
    Ok(())
}

async fn kill_while_deleting(launch: Launch) -> Outcome {
    let mut random = launch.random();
    let mut driver = Driver::start(&launch).await?;
    let mut client = driver.configured().await?;
    for _ in 0..4 {
        let names: Vec<String> = (0..300).map(|number| format!("t/{}/{number}", number % 5)).collect();
        client.put_all(names.clone()).await?;
        client.put(&client.at("kept"), "kept").await?;
        let tree = client.at("t");
        let deleting = client.delete(&tree, true);
        let (_, after) =
            kill_within(&mut driver, Duration::from_micros(random.random_range(100..8000)), deleting).await?;
        for path in after.walk_paths(&tree, "").await? {
            let name = path.strip_prefix(after.root()).unwrap_or_default().trim_start_matches('/');
            equal("what is left of a tree", &after.get(&path).await?.1[..], name.as_bytes())?;
        }
        after.delete(&tree, true).await?;
        equal("what is there", after.walk_paths(after.root(), "").await?, vec![after.at("kept")])?;
        client = after;
    }
    Ok(())
}

async fn kill_while_committing(launch: Launch) -> Outcome {
    let mut random = launch.random();
    let mut driver = Driver::start(&launch).await?;
    let mut client = driver.configured().await?;
    for round in 0..12u64 {
        let size = client.aligned(300_000 + round);
        let wanted = content(round, size as usize);
        let (staging, target) = (client.at(&format!("{round}/s")), client.at(&format!("{round}/t")));
        client.stage(&staging, &wanted).await?.end().await?;
        let commit = client.commit(&staging, &target, size);
        let (done, after) =
            kill_within(&mut driver, Duration::from_micros(random.random_range(0..6000)), commit).await?;
        match after.read(&target, 0, None).await {
            Ok((_, seen)) => same_bytes("the target", &seen, &wanted)?,
            missing => {
                refused("Read", missing, Reason::NotFound)?;
                ensure(!matches!(done, Some(Ok(_))), || "an acknowledged Commit is lost".to_owned())?;
            }
        }
        after.commit(&staging, &target, size).await?;
        same_bytes("the target", &after.read(&target, 0, None).await?.1, &wanted)?;
        client = after;
    }
    Ok(())
}

/// One write over a driver that is killed, a line that is cut and streams that are dropped, in turns.
async fn fifty_cuts(launch: Launch) -> Outcome {
    let mut random = launch.random();
    let mut driver = Driver::start(&launch).await?;
    let mut client = driver.configured().await?;
    let (staging, target) = (client.at("staging"), client.at("target"));
    let size = client.aligned(50 * 70_000).max(client.aligned(1) * 4);
    let wanted = content(1, size as usize);
    let mut persisted = 0;
    let mut cuts = 0;
    while cuts < 50 || persisted < size {
        let mut session = client.open(&staging, persisted).await?;
        let least = client.aligned(1).max(30_000);
        let end = if cuts < 50 { (persisted + random.random_range(0..3 * least)).min(size) } else { size };
        session.data(&wanted[persisted as usize..end as usize]).await;
        if cuts % 2 == 0 || cuts >= 50 {
            let now = session.flush().await?;
            ensure(now >= persisted, || format!("persisted went from {persisted} to {now}"))?;
            persisted = now;
        }
        if persisted >= size && cuts < 50 {
            persisted = 0;
        }
        match cuts % 10 {
            3 => {
                driver.replace().await?;
                client = driver.configured().await?;
            }
            5 => session.end().await?,
            _ => drop(session),
        }
        cuts += 1;
    }
    client.commit(&staging, &target, size).await?;
    same_bytes("the target", &client.read(&target, 0, None).await?.1, &wanted)
}

async fn many_half_sessions(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let unit = client.aligned(1000);
    for number in 0..200 {
        let staging = client.at(&format!("s/{number}"));
        client.stage(&staging, &content(number, unit as usize)).await?.end().await?;
    }
    let began = tokio::time::Instant::now();
    driver.replace().await?;
    let client = driver.configured().await?;
    ensure(began.elapsed() < Duration::from_secs(10), || format!("ready after {:?}", began.elapsed()))?;
    equal("a walk beside them", client.walk_paths(&client.at("t"), "").await?, Vec::new())?;
    for number in [0, 99, 199] {
        let (staging, target) = (client.at(&format!("s/{number}")), client.at(&format!("t/{number}")));
        client.commit(&staging, &target, unit).await?;
        same_bytes("one of many", &client.read(&target, 0, None).await?.1, &content(number, unit as usize))?;
    }
    Ok(())
}

async fn stands_still(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let (old, new) = (content(1, 100_000), content(2, 90_000));
    client.put(&client.at("a"), old.clone()).await?;
    client.put(&client.at("m"), "moved").await?;
    driver.suspend()?;
    let (path, target) = (client.at("a"), client.at("n"));
    let still = Duration::from_millis(700);
    let put = tokio::time::timeout(still, client.put(&path, new.clone())).await;
    ensure(put.is_err(), || "a call was answered by a process that stands still".to_owned())?;
    let moved = tokio::time::timeout(still, client.rename(&client.at("m"), &target)).await;
    ensure(moved.is_err(), || "a call was answered by a process that stands still".to_owned())?;
    driver.resume()?;
    let (_, seen) = client.get(&path).await?;
    ensure(seen == old || seen == new, || format!("{} bytes, which are neither old nor new", seen.len()))?;
    // A call that was given up may still take effect, but only wholly.
    for place in ["m", "n"] {
        match client.get(&client.at(place)).await {
            Ok((_, seen)) => equal("what was to be moved", seen, "moved".into())?,
            missing => drop(refused("Get", missing, Reason::NotFound)?),
        }
    }
    client.put(&client.at("b"), "content").await?;
    equal("content put afterwards", client.get(&client.at("b")).await?.1, "content".into())
}

async fn broken_line(launch: Launch) -> Outcome {
    let mut random = launch.random();
    let driver = Driver::start(&launch).await?;
    let direct = driver.configured().await?;
    let wanted = content(1, 3_000_000);
    direct.store("a", &wanted).await?;
    let names: Vec<String> = (0..4000).map(|number| format!("w/{number:04}")).collect();
    direct.put_all(names.clone()).await?;
    let proxy = Proxy::before(driver.socket())?;
    let client = driver.client_through(proxy.socket()).await?;
    proxy.lay(Line { to_caller: Some(random.random_range(400_000..900_000)), ..Line::default() });
    proxy.cut();
    let (mut reading, path) = (Reading::default(), client.at("a"));
    while !answered(reading.go_on(&client, &path).await).await? {}
    same_bytes("a Read over a line that breaks", &reading.seen, &wanted)?;
    proxy.lay(Line { to_caller: Some(random.random_range(250_000..300_000)), ..Line::default() });
    proxy.cut();
    let (mut seen, tree) = (Vec::new(), client.at("w"));
    while !answered(walk_on(&client, &tree, &mut seen).await).await? {}
    ensure(seen.into_iter().eq(names.iter().map(|name| client.at(name))), || "a walk is not what was put".to_owned())
}

/// Whether the storage, and not the line, had the last word. Each line lets something through, so that this ends.
async fn answered(result: Result<(), tonic::Status>) -> Outcome<bool> {
    match result {
        Err(status) if is_transport(&status) => {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(false)
        }
        result => Ok(result.map(|()| true)?),
    }
}

async fn broken_write(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let direct = driver.configured().await?;
    let proxy = Proxy::before(driver.socket())?;
    let client = driver.configured_through(proxy.socket()).await?;
    let (staging, target) = (client.at("staging"), client.at("target"));
    let unit = client.aligned(500_000);
    let wanted = content(1, 2 * unit as usize);
    for half in [false, true] {
        let mut session = repeat(|| client.open_for(&staging, 0, &target)).await?;
        session.data(&wanted[..unit as usize]).await;
        equal("persisted", session.flush().await?, unit)?;
        session.data(&wanted[unit as usize..]).await;
        if half {
            proxy.half_close()
        } else {
            proxy.cut()
        }
        refused("Stat of the target", direct.stat(&target).await, Reason::NotFound)?;
    }
    let mut session = direct.open(&staging, unit).await?;
    session.data(&wanted[unit as usize..]).await;
    session.flush().await?;
    direct.commit(&staging, &target, 2 * unit).await?;
    same_bytes("the target", &direct.read(&target, 0, None).await?.1, &wanted)
}

async fn held_line(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let direct = driver.configured().await?;
    let wanted = content(1, 3_000_000);
    direct.store("a", &wanted).await?;
    let proxy = Proxy::before(driver.socket())?;
    let held = driver.client_through(proxy.socket()).await?;
    let path = held.at("a");
    let slow = async {
        held.stat(&path).await?;
        proxy.hold(true);
        held.read(&path, 0, None).await
    };
    let others = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        for number in 0..50 {
            direct.put(&direct.at(&number.to_string()), "content").await?;
            same_bytes("a content", &direct.read(&path, 0, None).await?.1, &wanted)?;
        }
        proxy.hold(false);
        Outcome::Ok(())
    };
    let (slow, others) = tokio::join!(slow, others);
    others?;
    same_bytes("what was held up", &slow?.1, &wanted)
}

async fn twice(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let (a, b, staging) = (client.at("a"), client.at("b"), client.at("s"));
    for _ in 0..2 {
        client.put(&a, "content").await?;
    }
    client.rename(&a, &b).await?;
    refused("the second Move", client.rename(&a, &b).await, Reason::NotFound)?;
    equal("what was moved", client.get(&b).await?.1, "content".into())?;
    client.stage(&staging, b"staged").await?;
    let unit = client.aligned(6);
    let wanted = content(1, unit as usize);
    let _session = client.stage(&staging, &wanted).await?;
    for _ in 0..2 {
        client.commit(&staging, &a, unit).await?;
        same_bytes("what was committed", &client.read(&a, 0, None).await?.1, &wanted)?;
    }
    for _ in 0..2 {
        client.delete(&a, false).await?;
        client.delete(client.root(), true).await?;
    }
    equal("what is left", client.walk_paths(client.root(), "").await?, Vec::new())
}
