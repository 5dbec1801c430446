//! Write and Commit: what a session keeps, who may write to it, and when it is published.

use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use storagedriver_proto::limits::{ACKNOWLEDGE_EVERY, CHUNK_MAX};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::write_request::{Flush, Kind, Open};

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, ensure, equal, not_offered, refused, refused_as, same_bytes};

cases! { "sessions":
    Quick Writing [W1 W6 O1] "What is written and flushed is published by Commit, of any size, and of none." => published,
    Quick Writing [W1] "A session continues at what is persisted or below, on a multiple of the granularity."
        => continues_where_it_can,
    Quick Writing [W1] "Opening drops what lies beyond the offset, and at 0 starts over." => opening_drops,
    Quick Writing [W1] "A stream begins with `open`, has one, and no data over 1 MiB." => open_comes_first,
    Quick Writing [W1 W3] "Messages may have any size from 1 byte to 1 MiB." => message_sizes,
    Quick Writing [W2] "The newest `open` fences the others: none of them adds or changes a byte." => newest_fences,
    Quick Writing [W3 G5] "A flush persists everything received, rounded down to the granularity." => flush_persists,
    Quick Writing [W3 G5] "A long write is acknowledged at least every 4 MiB, and `persisted` never decreases." => acknowledged,
    Quick Writing [W4 G6] "What is staged does not show at the target." => hidden_until_commit,
    Quick Writing [W5] "Sessions are independent of each other, however many are open." => many_sessions,
    Quick Writing [W6] "The target of `open` is a hint that Commit need not follow." => target_is_a_hint,
    Quick Writing [G10] "The end of a stream and its cancellation publish nothing, and end no session." => end_publishes_nothing,
    Quick Writing [O1] "Commit of another size is OFFSET_INVALID with `persisted`, and the session stays."
        => commit_of_another_size,
    Quick Writing [O1] "Commit takes what the granularity kept while the stream is open, and misses it afterwards."
        => commit_with_tail,
    Quick Writing [O2] "Commit fences open streams: what they send later changes nothing." => commit_fences,
    Quick Writing [O2 W1] "Commit ends the session: it can be started over and not continued." => commit_ends_session,
    Quick Writing [O3] "Commit is idempotent, also for several callers at once." => commit_repeated,
    Quick Writing [O3] "Where the target holds `size` bytes already, Commit is OK and the session is gone." => commit_again,
    Quick Writing [O4 C1] "Commit replaces a target of another size; with `if_absent` it leaves target and session alone."
        => commit_replaces,
    Quick Writing [O4 C1] "Of any number of Commits with `if_absent` to one target, one gets OK." => if_absent_race,
    Quick Writing [O5] "Commit without a session, and without content of `size` bytes at the target, is NOT_FOUND."
        => commit_of_nothing,
    Quick Writing [D2] "Deleting a staging path, or a path above it, ends the session and its writers." => deleted,
}

async fn published(client: Client) -> Outcome {
    let (staging, target) = (client.at("staging"), client.at("deep/target"));
    for size in [0, 1, 1000, 262_145, 5_000_000] {
        let wanted = content(1, size);
        let mut session = client.open(&staging, 0).await?;
        for chunk in wanted.chunks(99_991) {
            session.send(Kind::Data(Bytes::copy_from_slice(chunk))).await;
        }
        session.flush().await?;
        let info = client.commit(&staging, &target, size as u64).await?;
        equal("what Commit answered", info, client.stat(&target).await?)?;
        same_bytes("the target", &client.read(&target, 0, None).await?.1, &wanted)?;
    }
    Ok(())
}

async fn continues_where_it_can(client: Client) -> Outcome {
    let staging = client.at("staging");
    let unit = client.aligned(1000);
    refused("open of no session", client.open(&staging, unit).await, Reason::NotFound)?;
    client.stage(&staging, &content(2, 2 * unit as usize)).await?.end().await?;
    let error = refused("open beyond the end", client.open(&staging, 3 * unit).await, Reason::OffsetInvalid)?;
    equal("persisted", error.persisted, 2 * unit)?;
    if client.aligned(1) > 1 {
        let between = client.open(&staging, unit + 1).await;
        refused("open between multiples of the granularity", between, Reason::OffsetInvalid)?;
    }
    client.open(&staging, 2 * unit).await?;
    Ok(())
}

async fn opening_drops(client: Client) -> Outcome {
    let (staging, target) = (client.at("staging"), client.at("target"));
    let unit = client.aligned(1000) as usize;
    let (old, new) = (content(3, 3 * unit), content(4, unit));
    client.stage(&staging, &old).await?.end().await?;
    let mut session = client.open(&staging, unit as u64).await?;
    session.data(&new).await;
    equal("persisted", session.flush().await?, 2 * unit as u64)?;
    client.commit(&staging, &target, 2 * unit as u64).await?;
    same_bytes("the target", &client.read(&target, 0, None).await?.1, &[&old[..unit], &new[..]].concat())?;

    client.stage(&staging, &old).await?.end().await?;
    client.open(&staging, 0).await?;
    client.commit(&staging, &target, 0).await?;
    equal("the size of a session that was started over", client.stat(&target).await?.size, 0)
}

async fn open_comes_first(client: Client) -> Outcome {
    let open = || Kind::Open(Open { path: client.at("staging"), offset: 0, target: String::new() });
    let rows = [
        ("data before open", vec![Kind::Data("x".into())]),
        ("flush before open", vec![Kind::Flush(Flush {})]),
        ("open twice", vec![open(), open()]),
        ("too much in one message", vec![open(), Kind::Data(content(5, CHUNK_MAX + 1))]),
    ];
    for (what, messages) in rows {
        let ended = async { client.stream(messages).await?.ended().await };
        refused(what, ended.await, Reason::RequestInvalid)?;
    }
    let mut session = client.open(&client.at("staging"), 0).await?;
    session.send(Kind::Data(content(6, CHUNK_MAX))).await;
    session.flush().await?;
    Ok(())
}

async fn newest_fences(client: Client) -> Outcome {
    let (staging, target) = (client.at("staging"), client.at("target"));
    let unit = client.aligned(100_000) as usize;
    let mut older = client.stage(&staging, &content(7, unit)).await?;
    let mut idle = client.open(&staging, unit as u64).await?;
    refused("the oldest stream", older.ended().await, Reason::Fenced)?;
    let newest_bytes = content(8, unit);
    let mut newest = client.open(&staging, 0).await?;
    idle.data(&content(9, unit)).await;
    newest.data(&newest_bytes).await;
    refused("a stream that goes on writing", idle.ended().await, Reason::Fenced)?;
    newest.flush().await?;
    client.commit(&staging, &target, unit as u64).await?;
    same_bytes("the target", &client.read(&target, 0, None).await?.1, &newest_bytes)
}

async fn flush_persists(client: Client) -> Outcome {
    let granularity = client.aligned(1);
    let mut session = client.open(&client.at("staging"), 0).await?;
    let mut received = 0;
    for size in [1, 999, 65_536, 1_000_003] {
        session.data(&content(10, size)).await;
        received += size as u64;
        equal("persisted", session.flush().await?, received - received % granularity)?;
    }
    equal("a flush of nothing", session.flush().await?, received - received % granularity)
}

async fn acknowledged(client: Client) -> Outcome {
    let mut session = client.open(&client.at("staging"), 0).await?;
    let mut persisted = 0;
    for _ in 0..4 {
        session.data(&content(11, ACKNOWLEDGE_EVERY as usize)).await;
        let answer = session.answer().await?;
        ensure(answer.persisted >= persisted && !answer.flushed, || format!("{answer:?} after {persisted}"))?;
        persisted = answer.persisted;
    }
    Ok(())
}

async fn hidden_until_commit(client: Client) -> Outcome {
    let (staging, target) = (client.at("staging/data"), client.at("target/data"));
    let mut session = client.open_for(&staging, 0, &target).await?;
    session.data(&content(12, 2_000_000)).await;
    session.flush().await?;
    refused("Stat of the target", client.stat(&target).await, Reason::NotFound)?;
    refused("Stat above the target", client.stat(&client.at("target")).await, Reason::NotFound)?;
    let listed = client.list(client.root(), "", 0).await?.entries;
    ensure(!listed.iter().any(|entry| entry.name != "staging"), || format!("a session shows: {listed:?}"))?;
    client.commit(&staging, &target, 2_000_000).await?;
    let walked = client.walk(client.root(), "").await?.into_iter().flat_map(|message| message.entries);
    equal("what there is", walked.map(|entry| entry.path).collect(), vec![target])
}

async fn target_is_a_hint(client: Client) -> Outcome {
    let (staging, hint, target) = (client.at("staging"), client.at("hint"), client.at("target"));
    let unit = client.aligned(1000);
    let mut session = client.open_for(&staging, 0, &hint).await?;
    session.data(&content(13, unit as usize)).await;
    session.flush().await?;
    session.end().await?;
    client.open_for(&staging, unit, &client.at("other")).await?;
    client.commit(&staging, &target, unit).await?;
    same_bytes("the target", &client.read(&target, 0, None).await?.1, &content(13, unit as usize))?;
    refused("Stat of the hint", client.stat(&hint).await, Reason::NotFound).map(drop)
}

async fn end_publishes_nothing(client: Client) -> Outcome {
    let unit = client.aligned(1000);
    for (how, reset) in [("ended", false), ("reset", true)] {
        let (staging, target) = (client.at(&format!("{how}/staging")), client.at(&format!("{how}/target")));
        let session = client.open_for(&staging, 0, &target).await?;
        session.data(&content(14, unit as usize)).await;
        if reset {
            drop(session)
        } else {
            session.end().await?
        }
        refused("Stat of the target", client.stat(&target).await, Reason::NotFound)?;
        client.open(&staging, 0).await?.data(&content(15, 10)).await;
        refused("Stat of the target", client.stat(&target).await, Reason::NotFound)?;
    }
    Ok(())
}

async fn commit_of_another_size(client: Client) -> Outcome {
    let (staging, target) = (client.at("staging"), client.at("target"));
    let unit = client.aligned(1000);
    let _session = client.stage(&staging, &content(16, unit as usize)).await?;
    for size in [0, unit - 1, unit + 1, u64::MAX] {
        let error = refused("Commit", client.commit(&staging, &target, size).await, Reason::OffsetInvalid)?;
        equal("persisted", error.persisted, unit)?;
        refused("Stat of the target", client.stat(&target).await, Reason::NotFound)?;
    }
    client.commit(&staging, &target, unit).await?;
    Ok(())
}

async fn commit_with_tail(client: Client) -> Outcome {
    let (staging, target) = (client.at("staging"), client.at("target"));
    let size = client.aligned(1000) + 1;
    let wanted = content(17, size as usize);
    let session = client.stage(&staging, &wanted).await?;
    client.commit(&staging, &target, size).await?;
    same_bytes("the target", &client.read(&target, 0, None).await?.1, &wanted)?;
    drop(session);

    client.stage(&staging, &wanted).await?.end().await?;
    let late = client.commit(&staging, &client.at("late"), size).await;
    if client.aligned(1) == 1 {
        return late.map(drop).map_err(Into::into);
    }
    let error = refused("Commit after the tail was lost", late, Reason::OffsetInvalid)?;
    let mut session = client.open(&staging, error.persisted).await?;
    session.data(&wanted[error.persisted as usize..]).await;
    session.flush().await?;
    client.commit(&staging, &client.at("late"), size).await?;
    same_bytes("the target", &client.read(&client.at("late"), 0, None).await?.1, &wanted)
}

async fn commit_fences(client: Client) -> Outcome {
    let (staging, target) = (client.at("staging"), client.at("target"));
    let mut session = client.stage(&staging, b"content").await?;
    client.commit(&staging, &target, 7).await?;
    session.data(b"overwritten").await;
    refused("the open stream", session.ended().await, Reason::Fenced)?;
    equal("the target", client.get(&target).await?.1, "content".into())?;
    equal("the size of the target", client.stat(&target).await?.size, 7)
}

async fn commit_repeated(client: Client) -> Outcome {
    let (staging, target) = (client.at("staging"), client.at("target"));
    let _session = client.stage(&staging, b"content").await?;
    for commit in join_all((0..4).map(|_| client.commit(&staging, &target, 7))).await {
        commit?;
    }
    let info = client.commit(&staging, &target, 7).await?;
    equal("what a repeated Commit answers", info.size, 7)?;
    equal("the target", client.get(&target).await?.1, "content".into())
}

async fn commit_replaces(client: Client) -> Outcome {
    let (staging, target) = (client.at("staging"), client.at("target"));
    client.put(&target, "old").await?;
    let _session = client.stage(&staging, b"content").await?;
    let taken = if client.capabilities().if_absent { Reason::AlreadyExists } else { Reason::Unsupported };
    refused("Commit with if_absent", client.commit_if(&staging, &target, 7, true).await, taken)?;
    equal("the target", client.get(&target).await?.1, "old".into())?;
    client.commit(&staging, &target, 7).await?;
    equal("the target", client.get(&target).await?.1, "content".into())?;
    if client.capabilities().if_absent {
        let _session = client.stage(&staging, b"free").await?;
        client.commit_if(&staging, &client.at("free"), 4, true).await?;
        equal("a free target", client.get(&client.at("free")).await?.1, "free".into())?;
    }
    Ok(())
}

async fn commit_of_nothing(client: Client) -> Outcome {
    let target = client.at("target");
    refused("Commit of nothing", client.commit(&client.at("staging"), &target, 7).await, Reason::NotFound)?;
    client.put(&target, "old").await?;
    refused("Commit of nothing", client.commit(&client.at("staging"), &target, 7).await, Reason::NotFound)?;
    equal("the target", client.get(&target).await?.1, "old".into())
}

async fn deleted(client: Client) -> Outcome {
    for (name, doomed, recursive) in [("one/data", "one/data", false), ("two/data", "two", true)] {
        let (staging, target) = (client.at(name), client.at("target"));
        let mut session = client.stage(&staging, &content(18, 100_000)).await?;
        client.delete(&client.at(doomed), recursive).await?;
        session.data(b"more").await;
        let ended = session.flush().await;
        refused_as("the writer", ended, &[Reason::Fenced, Reason::NotFound])?;
        refused("Commit", client.commit(&staging, &target, 100_000).await, Reason::NotFound)?;
        refused("Stat of the staging path", client.stat(&staging).await, Reason::NotFound)?;
    }
    Ok(())
}

async fn message_sizes(client: Client) -> Outcome {
    let (staging, target) = (client.at("staging"), client.at("target"));
    let wanted = content(20, 2_500_000);
    let mut session = client.open(&staging, 0).await?;
    let mut rest = &wanted[..];
    for size in [1, 1, 2, 1000, CHUNK_MAX, 0, 7, 262_144, 65_537, CHUNK_MAX - 1].into_iter().cycle() {
        let (piece, left) = rest.split_at(size.min(rest.len()));
        session.send(Kind::Data(Bytes::copy_from_slice(piece))).await;
        rest = left;
        if rest.is_empty() {
            break;
        }
    }
    session.flush().await?;
    client.commit(&staging, &target, wanted.len() as u64).await?;
    same_bytes("the target", &client.read(&target, 0, None).await?.1, &wanted)
}

async fn many_sessions(client: Client) -> Outcome {
    let staged =
        (0..120).map(async |number| client.stage(&client.at(&format!("s/{number}")), &content(number, 3000)).await);
    let sessions = try_join_all(staged).await?;
    for number in (0..120).rev().step_by(3) {
        let target = client.at(&format!("t/{number}"));
        client.commit(&client.at(&format!("s/{number}")), &target, 3000).await?;
        same_bytes("one of many", &client.get(&target).await?.1, &content(number, 3000))?;
    }
    drop(sessions);
    client.delete(&client.at("s"), true).await?;
    refused("Commit", client.commit(&client.at("s/0"), &client.at("t/0"), 3000).await, Reason::NotFound).map(drop)
}

async fn commit_ends_session(client: Client) -> Outcome {
    let (staging, target) = (client.at("staging"), client.at("target"));
    let unit = client.aligned(1000);
    client.stage(&staging, &content(21, unit as usize)).await?.end().await?;
    client.commit(&staging, &target, unit).await?;
    refused("open of what was committed", client.open(&staging, unit).await, Reason::NotFound)?;
    refused("Stat of the staging path", client.stat(&staging).await, Reason::NotFound)?;
    let _session = client.stage(&staging, b"another").await?;
    client.commit(&staging, &client.at("other"), 7).await?;
    equal("another content", client.get(&client.at("other")).await?.1, "another".into())?;
    same_bytes("the target", &client.read(&target, 0, None).await?.1, &content(21, unit as usize))
}

async fn commit_again(client: Client) -> Outcome {
    let target = client.at("target");
    // Two callers with the same bytes, as two that push one layer at once.
    for caller in ["one", "other"] {
        let staging = client.at(caller);
        let _session = client.stage(&staging, &content(22, 100_000)).await?;
        client.commit(&staging, &target, 100_000).await?;
        same_bytes("the target", &client.get(&target).await?.1, &content(22, 100_000))?;
        refused("Stat of the staging path", client.stat(&staging).await, Reason::NotFound)?;
        client.commit(&staging, &target, 100_000).await?;
    }
    equal("what there is", client.walk_paths(client.root(), "").await?, vec![target])
}

async fn if_absent_race(client: Client) -> Outcome {
    if !client.capabilities().if_absent {
        return not_offered("if_absent");
    }
    for round in 0..10 {
        let target = client.at(&format!("{round}/target"));
        let commits = join_all((0..8u64).map(async |caller| {
            let staging = client.at(&format!("{round}/{caller}"));
            let size = 1000 + caller;
            let _session = client.stage(&staging, &content(caller, size as usize)).await?;
            client.commit_if(&staging, &target, size, true).await
        }))
        .await;
        let winners: Vec<usize> = (0..8).filter(|caller| commits[*caller].is_ok()).collect();
        equal("how many succeeded", winners.len(), 1)?;
        for commit in commits.into_iter().filter(Result::is_err) {
            refused("Commit with if_absent", commit, Reason::AlreadyExists)?;
        }
        let wanted = content(winners[0] as u64, 1000 + winners[0]);
        same_bytes("whose content is there", &client.get(&target).await?.1, &wanted)?;
    }
    Ok(())
}
