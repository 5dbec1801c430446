//! Several drivers on one store: each sees at once what the others did, and one writer of a session remains.

use futures::future::join_all;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, ensure, equal, not_offered, refused, refused_as, same_bytes};
use crate::launch::Launch;
use crate::process::Driver;

cases! { "sharing":
    process Quick Shared [C1] "A store of this profile is declared `shared`." => declared,
    process Quick Shared [G1] "What one process acknowledged every other sees at once." => seen_by_all,
    process Quick Shared [U1] "Of callers at several processes, one gets OK with `if_absent`." => if_absent_race,
    process Quick Shared [W5] "A session begun at one process is continued and committed at another." => session_moves,
    process Quick Shared [W2] "Opening a session fences its writers in other processes." => fences_others,
    process Quick Shared [O3] "Commit at one process of what another has committed is OK." => commit_of_others,
    process Quick Shared [D2] "Deleting a session at one process ends its writers at another." => delete_ends_others,
}

/// Two drivers on one store, with a caller of each.
async fn two(launch: &Launch) -> Outcome<([Driver; 2], [Client; 2])> {
    let one = Driver::start(launch).await?;
    let first = one.configured().await?;
    let other = one.beside().await?;
    let second = other.configured().await?;
    Ok(([one, other], [first, second]))
}

async fn declared(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    equal("shared", driver.configured().await?.capabilities().shared, true)
}

async fn seen_by_all(launch: Launch) -> Outcome {
    let (_drivers, [one, other]) = two(&launch).await?;
    for round in 0..20 {
        let (path, text) = (one.at("p/a"), format!("round {round}"));
        let (here, there) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        here.put(&path, text.clone()).await?;
        equal("Get", there.get(&path).await?.1, text.clone().into())?;
        equal("Stat", there.stat(&path).await?, here.stat(&path).await?)?;
        equal("List", there.list_all(&one.at("p"), "", 0).await?, vec![("a".to_owned(), false)])?;
        there.rename(&path, &one.at("q/b")).await?;
        refused("Stat", here.stat(&path).await, Reason::NotFound)?;
        equal("Walk", here.walk_paths(one.root(), "").await?, vec![one.at("q/b")])?;
        here.delete(&one.at("q"), true).await?;
        refused("Get", there.get(&one.at("q/b")).await, Reason::NotFound)?;
    }
    Ok(())
}

async fn if_absent_race(launch: Launch) -> Outcome {
    let (_drivers, clients) = two(&launch).await?;
    if !clients[0].capabilities().if_absent {
        return not_offered("if_absent");
    }
    for round in 0..20 {
        let path = clients[0].at(&round.to_string());
        let puts = (0..8).map(|caller: usize| clients[caller % 2].put_if(&path, caller.to_string(), true));
        let puts = join_all(puts).await;
        let winners: Vec<usize> = (0..8).filter(|caller| puts[*caller].is_ok()).collect();
        equal("how many succeeded", winners.len(), 1)?;
        equal("whose content is there", clients[0].get(&path).await?.1, winners[0].to_string().into())?;
    }
    Ok(())
}

async fn session_moves(launch: Launch) -> Outcome {
    let (_drivers, [one, other]) = two(&launch).await?;
    let (staging, target) = (one.at("staging"), one.at("target"));
    let unit = one.aligned(200_000) as usize;
    let wanted = content(1, 4 * unit);
    for (turn, client) in [&one, &other, &one, &other].into_iter().enumerate() {
        let mut session = client.open(&staging, (turn * unit) as u64).await?;
        session.data(&wanted[turn * unit..(turn + 1) * unit]).await;
        equal("persisted", session.flush().await?, ((turn + 1) * unit) as u64)?;
    }
    one.commit(&staging, &target, 4 * unit as u64).await?;
    same_bytes("the target", &other.read(&target, 0, None).await?.1, &wanted)
}

async fn fences_others(launch: Launch) -> Outcome {
    let (_drivers, [one, other]) = two(&launch).await?;
    let (staging, target) = (one.at("staging"), one.at("target"));
    let unit = one.aligned(200_000) as usize;
    let mut older = one.stage(&staging, &content(1, unit)).await?;
    let mut newer = other.open(&staging, 0).await?;
    newer.data(&content(2, unit)).await;
    newer.flush().await?;
    older.data(&content(3, unit)).await;
    refused_as("a flush of the older writer", older.flush().await, &[Reason::Fenced, Reason::NotFound])?;
    other.commit(&staging, &target, unit as u64).await?;
    same_bytes("the target", &one.read(&target, 0, None).await?.1, &content(2, unit))
}

async fn commit_of_others(launch: Launch) -> Outcome {
    let (_drivers, [one, other]) = two(&launch).await?;
    let (staging, target) = (one.at("staging"), one.at("target"));
    let unit = one.aligned(1000);
    let session = one.stage(&staging, &content(1, unit as usize)).await?;
    one.commit(&staging, &target, unit).await?;
    other.commit(&staging, &target, unit).await?;
    drop(session);
    one.commit(&staging, &target, unit).await?;
    let there = other.read(&target, 0, None).await?.1;
    same_bytes("the target", &there, &content(1, unit as usize))
}

async fn delete_ends_others(launch: Launch) -> Outcome {
    let (_drivers, [one, other]) = two(&launch).await?;
    let staging = one.at("staging");
    let unit = one.aligned(1000);
    let mut session = one.stage(&staging, &content(1, unit as usize)).await?;
    other.delete(&staging, false).await?;
    session.data(&content(2, unit as usize)).await;
    refused_as("a flush of its writer", session.flush().await, &[Reason::Fenced, Reason::NotFound])?;
    let commit = one.commit(&staging, &one.at("target"), unit).await;
    ensure(commit.is_err(), || "a session that was deleted elsewhere is committed".to_owned())?;
    refused("Stat of the target", other.stat(&one.at("target")).await, Reason::NotFound).map(drop)
}
