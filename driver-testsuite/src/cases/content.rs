//! Stat, Get and Put: what is at a path, whole, and seen at once.

use std::time::{Duration, SystemTime};

use futures::future::join_all;
use storagedriver_proto::limits::{INLINE_MAX, VERSION_MAX};
use storagedriver_proto::v1alpha1::Info;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, ensure, equal, not_offered, refused, same_bytes};

cases! { "content":
    Quick Writing [S1] "Stat tells the size, time and version of content, a prefix as one, and nothing as NOT_FOUND." => stat,
    Quick Writing [G8] "`modified` is not before the call that made the content began, to the second." => modified,
    Quick Writing [T1] "Get gives all of a small content with the info of the same version." => get_whole,
    Quick Writing [T1] "Get of more than 1 MiB is TOO_LARGE, and of a prefix NOT_FOUND." => get_refused,
    Quick Writing [U1] "Put replaces in one step, and leaves nothing of what was there." => put_replaces,
    Quick Writing [S1] "The version differs whenever the content may differ, and only then." => version,
    Quick Writing [U1] "Content may be any bytes, and none." => any_bytes,
    Quick Writing [U2] "Put of more than 1 MiB is TOO_LARGE, and nothing changes." => put_too_large,
    Quick Writing [U1] "Of any number of callers with `if_absent`, one gets OK and the others ALREADY_EXISTS." => if_absent_race,
    Quick Writing [U1 C1] "`if_absent` changes nothing where anything is, and succeeds again after a Delete." => if_absent,
    Quick Writing [G1] "After OK of a mutating call, every call that starts later sees its effect." => seen_at_once,
    Full Writing [G1] "A deleted content never comes back, and a content put again is there, on every connection." => no_resurrection,
    Full Writing [G2 T1] "A reader sees the old content or the new one, and nothing in between." => no_mixture,
    Full Writing [G2] "Where two callers put at once, one of the contents is there afterwards, whole." => last_put_whole,
}

async fn stat(client: Client) -> Outcome {
    let put = client.put(&client.at("a/b"), "12345").await?;
    let info = client.stat(&client.at("a/b")).await?;
    equal("what Put answered", put, info.clone())?;
    equal("the size", (info.size, info.is_prefix), (5, false))?;
    ensure(info.modified.is_some(), || "content without a time".to_owned())?;
    ensure((1..=VERSION_MAX).contains(&info.version.len()), || format!("the version is {:?}", info.version))?;
    equal("Stat of a prefix", client.stat(&client.at("a")).await?, Info { is_prefix: true, ..Default::default() })?;
    refused("Stat of nothing", client.stat(&client.at("b")).await, Reason::NotFound)?;
    refused("Stat below content", client.stat(&client.at("a/b/c")).await, Reason::NotFound).map(drop)
}

/// To the second: what a clock of whole seconds would have told before.
fn second_before(now: SystemTime) -> SystemTime {
    now - Duration::from_secs(1)
}

async fn modified(client: Client) -> Outcome {
    let (path, staging) = (client.at("a"), client.at("staging"));
    for what in ["Put", "Put again", "Commit"] {
        let began = second_before(SystemTime::now());
        let info = if what == "Commit" {
            let _session = client.stage(&staging, b"content").await?;
            client.commit(&staging, &path, 7).await?
        } else {
            client.put(&path, what).await?
        };
        let told = info.modified.and_then(|time| SystemTime::try_from(time).ok());
        ensure(told >= Some(began), || format!("{what} began after {began:?}, and the content is of {told:?}"))?;
        let soon = SystemTime::now() + Duration::from_secs(300);
        ensure(told < Some(soon), || format!("{what}: the content is of {told:?}, more than five minutes ahead"))?;
    }
    Ok(())
}

async fn get_whole(client: Client) -> Outcome {
    let powers = (0..=20).step_by(4).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]);
    for size in powers.filter(|size| *size <= INLINE_MAX) {
        let (path, wanted) = (client.at(&size.to_string()), content(1, size));
        client.put(&path, wanted.clone()).await?;
        let (info, seen) = client.get(&path).await?;
        same_bytes("Get", &seen, &wanted)?;
        equal("the info of Get", info, client.stat(&path).await?)?;
    }
    Ok(())
}

async fn get_refused(client: Client) -> Outcome {
    client.store("large/one", &content(2, INLINE_MAX + 1)).await?;
    refused("Get of more than 1 MiB", client.get(&client.at("large/one")).await, Reason::TooLarge)?;
    refused("Get of a prefix", client.get(&client.at("large")).await, Reason::NotFound)?;
    refused("Get of nothing", client.get(&client.at("small")).await, Reason::NotFound)?;
    refused("Get below content", client.get(&client.at("large/one/more")).await, Reason::NotFound).map(drop)
}

async fn put_replaces(client: Client) -> Outcome {
    let path = client.at("a");
    for (number, size) in [(3, 100_000), (4, 99_999), (5, 1), (6, 0), (7, 300_000)] {
        let wanted = content(number, size);
        let info = client.put(&path, wanted.clone()).await?;
        equal("the size that Put answers", info.size, size as u64)?;
        same_bytes("Get", &client.get(&path).await?.1, &wanted)?;
        same_bytes("Read", &client.read(&path, 0, None).await?.1, &wanted)?;
    }
    Ok(())
}

async fn version(client: Client) -> Outcome {
    let path = client.at("a");
    let mut versions = Vec::new();
    // Of one length, and all within one second: neither tells contents apart.
    for text in ["first-", "second", "first-", "third-"] {
        versions.push(client.put(&path, text).await?.version);
        let again = [client.stat(&path).await?.version, client.get(&path).await?.0.version];
        ensure(again.iter().all(|told| Some(told) == versions.last()), || format!("{versions:?}, and then {again:?}"))?;
    }
    client.rename(&path, &client.at("b")).await?;
    versions.push(client.put(&path, "fourth").await?.version);
    ensure(versions.windows(2).all(|pair| pair[0] != pair[1]), || format!("the versions were {versions:?}"))
}

async fn any_bytes(client: Client) -> Outcome {
    let all: Vec<u8> = (0..=255).collect();
    let rows = [("every", all), ("zeros", vec![0; 5000]), ("ones", vec![255; 5000]), ("empty", Vec::new())];
    for (name, wanted) in rows {
        client.put(&client.at(name), wanted.clone()).await?;
        equal(name, &client.get(&client.at(name)).await?.1[..], &wanted[..])?;
        equal(name, client.read(&client.at(name), 0, None).await?.1, wanted.clone())?;
        equal(name, client.stat(&client.at(name)).await?.size, wanted.len() as u64)?;
    }
    Ok(())
}

async fn put_too_large(client: Client) -> Outcome {
    let path = client.at("a");
    client.put(&path, "old").await?;
    refused("Put of too much", client.put(&path, content(3, INLINE_MAX + 1)).await, Reason::TooLarge)?;
    equal("what was there", client.get(&path).await?.1, "old".into())?;
    refused("Put of too much", client.put(&client.at("b"), content(3, 2 * INLINE_MAX)).await, Reason::TooLarge)?;
    refused("Stat of what was too large", client.stat(&client.at("b")).await, Reason::NotFound).map(drop)
}

async fn if_absent_race(client: Client) -> Outcome {
    if !client.capabilities().if_absent {
        return not_offered("if_absent");
    }
    for round in 0..25 {
        let path = client.at(&round.to_string());
        let puts = join_all((0..16).map(|caller: u64| client.put_if(&path, caller.to_string(), true))).await;
        let winners: Vec<usize> = (0..16).filter(|caller| puts[*caller].is_ok()).collect();
        equal("how many succeeded", winners.len(), 1)?;
        for put in puts.into_iter().filter(Result::is_err) {
            refused("Put with if_absent", put, Reason::AlreadyExists)?;
        }
        equal("whose content is there", client.get(&path).await?.1, winners[0].to_string().into())?;
    }
    Ok(())
}

async fn if_absent(client: Client) -> Outcome {
    let path = client.at("p/a");
    if !client.capabilities().if_absent {
        return not_offered("if_absent");
    }
    let before = client.put(&path, "old").await?;
    refused("Put with if_absent", client.put_if(&path, "new", true).await, Reason::AlreadyExists)?;
    equal("what is there", client.get(&path).await?, (before, "old".into()))?;
    client.delete(&path, false).await?;
    client.put_if(&path, "new", true).await?;
    equal("what is there after a Delete", client.get(&path).await?.1, "new".into())
}

/// Each way of looking at `relative`, which has `wanted`.
async fn seen_everywhere(client: &Client, relative: &str, wanted: Option<&str>) -> Outcome {
    let path = client.at(relative);
    let listed = client.list_all(client.root(), "", 0).await?.into_iter().any(|(name, _)| name == relative);
    equal("List", listed, wanted.is_some())?;
    equal("Walk", client.walk_paths(client.root(), "").await?.contains(&path), wanted.is_some())?;
    let Some(wanted) = wanted else {
        refused("Stat", client.stat(&path).await, Reason::NotFound)?;
        refused("Read", client.read(&path, 0, None).await, Reason::NotFound)?;
        return refused("Get", client.get(&path).await, Reason::NotFound).map(drop);
    };
    equal("Stat", client.stat(&path).await?.size, wanted.len() as u64)?;
    equal("Get", &client.get(&path).await?.1[..], wanted.as_bytes())?;
    equal("Read", &client.read(&path, 0, None).await?.1[..], wanted.as_bytes())
}

async fn seen_at_once(client: Client) -> Outcome {
    client.put(&client.at("a"), "one").await?;
    seen_everywhere(&client, "a", Some("one")).await?;
    client.put(&client.at("a"), "second").await?;
    seen_everywhere(&client, "a", Some("second")).await?;
    client.rename(&client.at("a"), &client.at("b")).await?;
    seen_everywhere(&client, "a", None).await?;
    seen_everywhere(&client, "b", Some("second")).await?;
    client.store("c", b"third").await?;
    seen_everywhere(&client, "c", Some("third")).await?;
    client.delete(&client.at("b"), false).await?;
    seen_everywhere(&client, "b", None).await?;
    client.delete(&client.at("c"), true).await?;
    seen_everywhere(&client, "c", None).await
}

async fn no_resurrection(client: Client) -> Outcome {
    for round in 0..60 {
        let (path, text) = (client.at("a"), round.to_string());
        client.put(&path, text.clone()).await?;
        equal("what was put", &client.read(&path, 0, None).await?.1[..], text.as_bytes())?;
        client.delete(&path, round % 2 == 0).await?;
        refused("Read after Delete", client.read(&path, 0, None).await, Reason::NotFound)?;
        refused("Stat after Delete", client.stat(&path).await, Reason::NotFound)?;
    }
    Ok(())
}

async fn no_mixture(client: Client) -> Outcome {
    let path = client.at("a");
    let versions = [content(4, 300_000), content(5, 200_000)];
    client.put(&path, versions[0].clone()).await?;
    let writing = async {
        for round in 1..150 {
            client.put(&path, versions[round % 2].clone()).await?;
        }
        Ok::<_, tonic::Status>(())
    };
    let reading = async {
        for _ in 0..150 {
            let (info, seen) = client.get(&path).await?;
            ensure(versions.contains(&seen), || format!("a mixture of {} bytes", seen.len()))?;
            equal("the size in info", info.size, seen.len() as u64)?;
        }
        Outcome::Ok(())
    };
    let (written, read) = tokio::join!(writing, reading);
    written?;
    read
}

async fn last_put_whole(client: Client) -> Outcome {
    let path = client.at("a");
    let contents: Vec<_> = (0..8).map(|caller| content(caller, 200_000 - 20_000 * caller as usize)).collect();
    for _ in 0..10 {
        for put in join_all(contents.iter().map(|content| client.put(&path, content.clone()))).await {
            put?;
        }
        let (info, seen) = client.get(&path).await?;
        ensure(contents.contains(&seen), || format!("a mixture of {} bytes", seen.len()))?;
        equal("Stat", client.stat(&path).await?, info)?;
    }
    Ok(())
}
