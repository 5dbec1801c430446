//! Several driver processes on one store.

use std::time::Duration;

use futures::future::join_all;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::Kind;
use tokio::time::timeout;

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, refused, refused_as, same_bytes};
use crate::launch::Launch;
use crate::process::Driver;

cases! { "sharing":
    process Quick Shared [C1 K4] "Two processes open a store that is declared shared." => is_declared,
    process Quick Shared [G1] "Every effect shows at once at the other process." => sees_at_once,
    process Full Shared [U1] "Of many puts with if_absent at two processes one succeeds." => if_absent,
    process Quick Shared [O4 G1] "Commit with if_absent heeds what the other process put." => commit_if_absent,
    process Quick Shared [W2] "Opening a session fences its writers in the other process." => fences,
    process Full Shared [W2 G5] "A writer whose process was suspended adds nothing after another took over." => suspended_writer,
    process Quick Shared [W5 W1] "A session begun at one process goes on at the other." => session_moves,
    process Quick Shared [O2 O3 W2] "A session written at one process can be committed at the other." => commits_elsewhere,
    process Quick Shared [D2] "A session deleted at one process is ended at the other." => deletes_elsewhere,
    process Full Shared [G3 W5] "What a killed process acknowledged is there at the other at once, and so are its sessions." => one_is_killed,
    process Full Shared [M1] "Of moves of one source at two processes one succeeds." => moves,
}

/// Two processes on one store, each with a caller.
struct Pair {
    first: Driver,
    _second: Driver,
    one: Client,
    other: Client,
}

async fn pair(launch: &Launch) -> Outcome<Pair> {
    let first = Driver::start(launch).await?;
    let one = first.configured().await?;
    ensure(one.capabilities().shared, || "the store is not declared shared".to_owned())?;
    let second = first.beside().await?;
    let other = second.configured().await?;
    Ok(Pair { first, _second: second, one, other })
}

async fn is_declared(launch: Launch) -> Outcome {
    let Pair { one, other, first: _first, _second } = pair(&launch).await?;
    equal("the capabilities of the other process", other.capabilities(), one.capabilities())?;
    one.put(&one.at("a"), "one").await?;
    equal("what the other process has", other.get(&other.at("a")).await?.1, "one".into())
}

async fn sees_at_once(launch: Launch) -> Outcome {
    let Pair { one, other, first: _first, _second } = pair(&launch).await?;
    for round in 0..20 {
        let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let (a, b) = (one.at("p/a"), one.at("p/b"));
        let text = format!("content {round}");
        reader.put(&a, "what is replaced elsewhere").await?;
        equal("Get before", reader.get(&a).await?.1, "what is replaced elsewhere".into())?;
        let info = writer.put(&a, text.clone()).await?;
        equal("Get elsewhere", reader.get(&a).await?.1, text.clone().into())?;
        equal("Stat elsewhere", reader.stat(&a).await?, info)?;
        same_bytes("Read elsewhere", &reader.read(&a, 0, None).await?.1, text.as_bytes())?;
        shows(reader, &["a"]).await?;
        writer.rename(&a, &b).await?;
        refused("Get of what moved elsewhere", reader.get(&a).await, Reason::NotFound)?;
        shows(reader, &["b"]).await?;
        reader.delete(&b, false).await?;
        refused("Stat of what was deleted elsewhere", writer.stat(&b).await, Reason::NotFound)?;
        shows(writer, &[]).await?;
    }
    Ok(())
}

/// List and Walk show `names` below `p`, and nothing else.
async fn shows(client: &Client, names: &[&str]) -> Outcome {
    let listed = client.list(&client.at("p"), "", 0).await?.entries;
    equal("List elsewhere", listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), names.to_vec())?;
    let walked = client.walk(&client.at("p"), "").await?.into_iter().flat_map(|message| message.entries);
    let wanted: Vec<String> = names.iter().map(|name| client.at(&format!("p/{name}"))).collect();
    equal("Walk elsewhere", walked.map(|entry| entry.path).collect::<Vec<_>>(), wanted)
}

async fn if_absent(launch: Launch) -> Outcome {
    let Pair { one, other, first: _first, _second } = pair(&launch).await?;
    if !one.capabilities().if_absent {
        let put = one.put_if(&one.at("a"), "x", true).await;
        return refused("Put with if_absent, which is not declared", put, Reason::Unsupported).map(drop);
    }
    for round in 0..15 {
        let path = one.at(&format!("{round}"));
        let puts = (0..12).map(|number| {
            let client = if number % 2 == 0 { &one } else { &other };
            client.put_if(&path, format!("of caller {number}"), true)
        });
        let results = join_all(puts).await;
        let winners: Vec<usize> = (0..12).filter(|number| results[*number].is_ok()).collect();
        let &[winner] = &winners[..] else { return broken(format!("the callers {winners:?} succeed")) };
        for result in results.into_iter().filter(Result::is_err) {
            refused("the others", result, Reason::AlreadyExists)?;
        }
        for client in [&one, &other] {
            equal("the content", client.get(&path).await?.1, format!("of caller {winner}").into())?;
        }
    }
    Ok(())
}

async fn commit_if_absent(launch: Launch) -> Outcome {
    let Pair { one, other, first: _first, _second } = pair(&launch).await?;
    let (staging, target) = (one.at("staging"), one.at("target"));
    let size = one.aligned(1000);
    let _session = one.stage(&staging, &content(1, size as usize)).await?;
    other.put(&target, "theirs").await?;
    let taken = if one.capabilities().if_absent { Reason::AlreadyExists } else { Reason::Unsupported };
    refused("Commit with if_absent", one.commit_if(&staging, &target, size, true).await, taken)?;
    equal("the target", one.get(&target).await?.1, "theirs".into())?;
    one.commit(&staging, &target, size).await?;
    same_bytes("the target", &other.read(&target, 0, None).await?.1, &content(1, size as usize))
}

async fn fences(launch: Launch) -> Outcome {
    let Pair { one, other, first: _first, _second } = pair(&launch).await?;
    let unit = one.aligned(100_000) as usize;
    let (staging, target) = (one.at("staging"), one.at("target"));
    let (old, new) = (content(2, 3 * unit), content(3, 3 * unit));
    let mut older = one.stage(&staging, &old[..unit]).await?;
    let mut newer = other.open(&staging, unit as u64).await?;
    older.data(&old[unit..]).await;
    refused("the older writer", older.flush().await, Reason::Fenced)?;
    newer.data(&new[unit..]).await;
    equal("persisted", newer.flush().await?, 3 * unit as u64)?;
    other.commit(&staging, &target, 3 * unit as u64).await?;
    let wanted = [&old[..unit], &new[unit..]].concat();
    same_bytes("the target", &one.read(&target, 0, None).await?.1, &wanted)
}

async fn suspended_writer(launch: Launch) -> Outcome {
    let Pair { first, _second, one, other } = pair(&launch).await?;
    let unit = one.aligned(100_000) as usize;
    let (staging, target) = (one.at("staging"), one.at("target"));
    let (old, new) = (content(4, 3 * unit), content(5, 3 * unit));
    let mut older = one.stage(&staging, &old[..unit]).await?;
    first.suspend().await?;
    // As far as the line holds it, this waits in the suspended process.
    let sending = async { older.send(Kind::Data(old.slice(unit..(unit + 60_000).min(3 * unit)))).await };
    let _ = timeout(Duration::from_secs(1), sending).await;
    let taken = timeout(Duration::from_secs(20), other.open(&staging, unit as u64)).await;
    let Ok(taken) = taken else {
        first.resume()?;
        return broken("open waits for a process that does not answer");
    };
    let mut newer = taken?;
    newer.data(&new[unit..2 * unit]).await;
    equal("persisted", newer.flush().await?, 2 * unit as u64)?;
    first.resume()?;
    refused("the writer that was suspended", older.flush().await, Reason::Fenced)?;
    newer.data(&new[2 * unit..]).await;
    equal("persisted", newer.flush().await?, 3 * unit as u64)?;
    other.commit(&staging, &target, 3 * unit as u64).await?;
    let wanted = [&old[..unit], &new[unit..]].concat();
    same_bytes("the target", &one.read(&target, 0, None).await?.1, &wanted)
}

async fn session_moves(launch: Launch) -> Outcome {
    let Pair { one, other, first: _first, _second } = pair(&launch).await?;
    let unit = one.aligned(50_000) as usize;
    let (staging, target) = (one.at("staging"), one.at("target"));
    let wanted = content(6, 6 * unit);
    one.open(&staging, 0).await?.end().await?;
    for part in 0..6 {
        let client = if part % 2 == 0 { &one } else { &other };
        let mut session = client.open(&staging, (part * unit) as u64).await?;
        session.data(&wanted[part * unit..(part + 1) * unit]).await;
        equal("persisted", session.flush().await?, ((part + 1) * unit) as u64)?;
        session.end().await?;
    }
    let error = refused("open too far", one.open(&staging, 7 * unit as u64).await, Reason::OffsetInvalid)?;
    equal("what the other process persisted", error.persisted, 6 * unit as u64)?;
    one.commit(&staging, &target, 6 * unit as u64).await?;
    same_bytes("the target", &other.read(&target, 0, None).await?.1, &wanted)
}

async fn commits_elsewhere(launch: Launch) -> Outcome {
    let Pair { one, other, first: _first, _second } = pair(&launch).await?;
    let size = one.aligned(300_000);
    for (seed, committers) in [(7, &[&other][..]), (8, &[&other, &one])] {
        let (staging, target) = (one.at(&format!("staging-{seed}")), one.at(&format!("target-{seed}")));
        let wanted = content(seed, size as usize);
        let mut session = one.stage(&staging, &wanted).await?;
        for result in join_all(committers.iter().map(|client| client.commit(&staging, &target, size))).await {
            equal("what Commit tells", result?.size, size)?;
        }
        session.data(b"more").await;
        refused("the open stream", session.flush().await, Reason::Fenced)?;
        for client in [&one, &other] {
            same_bytes("the target", &client.read(&target, 0, None).await?.1, &wanted)?;
            client.commit(&staging, &target, size).await?;
        }
    }
    Ok(())
}

async fn deletes_elsewhere(launch: Launch) -> Outcome {
    let Pair { one, other, first: _first, _second } = pair(&launch).await?;
    let size = one.aligned(100_000);
    let staging = one.at("up/data");
    let mut session = one.stage(&staging, &content(8, size as usize)).await?;
    other.delete(&one.at("up"), true).await?;
    session.data(b"more").await;
    refused_as("the writer", session.flush().await, &[Reason::Fenced, Reason::NotFound])?;
    for client in [&one, &other] {
        refused("Commit", client.commit(&staging, &one.at("target"), size).await, Reason::NotFound)?;
        refused("open", client.open(&staging, size).await, Reason::NotFound)?;
    }
    Ok(())
}

async fn one_is_killed(launch: Launch) -> Outcome {
    let Pair { mut first, _second, one, other } = pair(&launch).await?;
    let unit = one.aligned(100_000) as usize;
    let (staging, target, wanted) = (one.at("staging"), one.at("target"), content(9, 2 * unit));
    one.put(&one.at("a"), "content").await?;
    let _session = one.stage(&staging, &wanted[..unit]).await?;
    let _reading = other.open(&other.at("theirs"), 0).await?;
    first.kill().await?;
    equal("what the killed process put", other.get(&other.at("a")).await?.1, "content".into())?;
    let mut session = other.open(&staging, unit as u64).await?;
    session.data(&wanted[unit..]).await;
    session.flush().await?;
    other.commit(&staging, &target, 2 * unit as u64).await?;
    same_bytes("the target", &other.read(&target, 0, None).await?.1, &wanted)?;
    first.replace().await?;
    let again = first.configured().await?;
    same_bytes("the target at the next process", &again.read(&target, 0, None).await?.1, &wanted)
}

async fn moves(launch: Launch) -> Outcome {
    let Pair { one, other, first: _first, _second } = pair(&launch).await?;
    for round in 0..15 {
        let source = one.at(&format!("{round}/source"));
        let targets = [one.at(&format!("{round}/x")), one.at(&format!("{round}/y"))];
        one.put(&source, "content").await?;
        let results = join_all([one.rename(&source, &targets[0]), other.rename(&source, &targets[1])]).await;
        equal("the moves that are OK", results.iter().filter(|result| result.is_ok()).count(), 1)?;
        for (result, target) in results.into_iter().zip(&targets) {
            match result {
                Ok(_) => equal("the content moved", other.get(target).await?.1, "content".into())?,
                Err(status) => {
                    refused("the other Move", Err::<(), _>(status), Reason::NotFound)?;
                    refused("the target of the other Move", one.stat(target).await, Reason::NotFound)?;
                }
            }
        }
    }
    Ok(())
}
