//! Stat, Get, Put, Move, Delete and RedirectUrl.

use std::time::{Duration, SystemTime};

use futures::future::join_all;
use storagedriver_proto::limits::{INLINE_MAX, VERSION_MAX};
use storagedriver_proto::v1alpha1::Info;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, ensure, equal, refused, refused_as, same_bytes};

cases! { "content":
    Quick Writing [S1] "Stat tells content prefix and nothing apart." => stat_tells_content_prefix_and_nothing_apart,
    Quick Writing [T1] "Get gives content and info of one version." => get_gives_content_and_info_of_one_version,
    Quick Writing [T1] "Get refuses what is too large or no content." => get_refuses_what_is_too_large_or_no_content,
    Quick Writing [U1] "Put replaces and changes the version." => put_replaces_and_changes_the_version,
    Quick Writing [U1] "Of many puts if absent one succeeds." => of_many_puts_if_absent_one_succeeds,
    Quick Writing [U2] "Put refuses what is too large." => put_refuses_what_is_too_large,
    Quick Writing [G2] "A reader sees old or new and never a mixture." => a_reader_sees_old_or_new_and_never_a_mixture,
    Quick Writing [M1] "Move replaces the target and takes the source." => move_replaces_the_target_and_takes_the_source,
    Quick Writing [M1] "Move refuses what is no content." => move_refuses_what_is_no_content,
    Quick Writing [M1] "Of two moves one succeeds." => of_two_moves_one_succeeds,
    Quick Writing [D1] "Delete takes content and nothing else." => delete_takes_content_and_nothing_else,
    Quick Writing [D1] "Delete takes a tree when recursive." => delete_takes_a_tree_when_recursive,
    Quick Writing [C1] "A redirect is given or refused." => a_redirect_is_given_or_refused,
}

async fn stat_tells_content_prefix_and_nothing_apart(client: Client) -> Outcome {
    let before = SystemTime::now() - Duration::from_secs(1);
    let put = client.put(&client.at("a/b"), "12345").await?;
    let info = client.stat(&client.at("a/b")).await?;
    equal("what Put answered", put, info.clone())?;
    equal("the size", (info.size, info.is_prefix), (5, false))?;
    let modified = info.modified.and_then(|time| SystemTime::try_from(time).ok());
    ensure(modified >= Some(before), || format!("modified is {modified:?}, and the call began after {before:?}"))?;
    ensure((1..=VERSION_MAX).contains(&info.version.len()), || format!("the version is {:?}", info.version))?;
    equal("Stat of a prefix", client.stat(&client.at("a")).await?, Info { is_prefix: true, ..Default::default() })?;
    refused("Stat of nothing", client.stat(&client.at("b")).await, Reason::NotFound)?;
    refused_as("Stat below content", client.stat(&client.at("a/b/c")).await, &[Reason::NotFound])?;
    Ok(())
}

async fn get_gives_content_and_info_of_one_version(client: Client) -> Outcome {
    for size in [0, 1, 4096, INLINE_MAX] {
        let (path, wanted) = (client.at(&size.to_string()), content(1, size));
        client.put(&path, wanted.clone()).await?;
        let (info, seen) = client.get(&path).await?;
        same_bytes("Get", &seen, &wanted)?;
        equal("the info of Get", info, client.stat(&path).await?)?;
    }
    Ok(())
}

async fn get_refuses_what_is_too_large_or_no_content(client: Client) -> Outcome {
    client.store("large/one", &content(2, INLINE_MAX + 1)).await?;
    refused("Get of more than 1 MiB", client.get(&client.at("large/one")).await, Reason::TooLarge)?;
    refused("Get of a prefix", client.get(&client.at("large")).await, Reason::NotFound)?;
    refused("Get of nothing", client.get(&client.at("small")).await, Reason::NotFound)?;
    Ok(())
}

async fn put_replaces_and_changes_the_version(client: Client) -> Outcome {
    let path = client.at("a");
    let mut versions = Vec::new();
    for text in ["first", "second", "first", ""] {
        versions.push(client.put(&path, text).await?.version);
        equal("the content", client.get(&path).await?.1, text.into())?;
    }
    ensure(versions.windows(2).all(|pair| pair[0] != pair[1]), || format!("the versions were {versions:?}"))
}

async fn of_many_puts_if_absent_one_succeeds(client: Client) -> Outcome {
    let path = client.at("a");
    if !client.capabilities().if_absent {
        let put = client.put_if(&path, "x", true).await;
        return refused("Put with if_absent, which is not declared", put, Reason::Unsupported).map(drop);
    }
    for round in 0..8 {
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

async fn put_refuses_what_is_too_large(client: Client) -> Outcome {
    let path = client.at("a");
    client.put(&path, "old").await?;
    refused("Put of too much", client.put(&path, content(3, INLINE_MAX + 1)).await, Reason::TooLarge)?;
    equal("what was there", client.get(&path).await?.1, "old".into())
}

async fn a_reader_sees_old_or_new_and_never_a_mixture(client: Client) -> Outcome {
    let path = client.at("a");
    let versions = [content(4, 300_000), content(5, 200_000)];
    client.put(&path, versions[0].clone()).await?;
    let writing = async {
        for round in 1..40 {
            client.put(&path, versions[round % 2].clone()).await?;
        }
        Ok::<_, tonic::Status>(())
    };
    let reading = async {
        for _ in 0..40 {
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

async fn move_replaces_the_target_and_takes_the_source(client: Client) -> Outcome {
    let (source, target) = (client.at("s"), client.at("deep/er/t"));
    for round in ["first", "second"] {
        client.put(&source, round).await?;
        let moved = client.rename(&source, &target).await?;
        equal("the target", client.get(&target).await?.1, round.into())?;
        equal("what Move answered", moved, client.stat(&target).await?)?;
        refused("Stat of the source", client.stat(&source).await, Reason::NotFound)?;
    }
    let before = client.stat(&target).await?;
    client.rename(&target, &target).await?;
    equal("content moved onto itself", client.stat(&target).await?.size, before.size)?;
    equal("content moved onto itself", client.get(&target).await?.1, "second".into())
}

async fn move_refuses_what_is_no_content(client: Client) -> Outcome {
    let target = client.at("t");
    client.put(&target, "kept").await?;
    client.put(&client.at("p/a"), "below").await?;
    for missing in ["nothing", "p"].map(|name| client.at(name)) {
        refused("Move of no content", client.rename(&missing, &target).await, Reason::NotFound)?;
        refused("Move of no content onto itself", client.rename(&missing, &missing).await, Reason::NotFound)?;
    }
    equal("the target", client.get(&target).await?.1, "kept".into())?;
    equal("what is below the prefix", client.get(&client.at("p/a")).await?.1, "below".into())
}

async fn of_two_moves_one_succeeds(client: Client) -> Outcome {
    for round in 0..20 {
        let [source, one, other] = ["s", "one", "other"].map(|name| client.at(&format!("{round}/{name}")));
        client.put(&source, "content").await?;
        let (first, second) = tokio::join!(client.rename(&source, &one), client.rename(&source, &other));
        equal("how many moves succeeded", u8::from(first.is_ok()) + u8::from(second.is_ok()), 1)?;
        let (lost, target) = if first.is_ok() { (second, one) } else { (first, other) };
        refused("the move that lost", lost, Reason::NotFound)?;
        equal("the target of the move that won", client.get(&target).await?.1, "content".into())?;
    }
    Ok(())
}

async fn delete_takes_content_and_nothing_else(client: Client) -> Outcome {
    client.put(&client.at("p/a"), "content").await?;
    client.delete(&client.at("nothing"), false).await?;
    refused("Delete of a prefix", client.delete(&client.at("p"), false).await, Reason::PathConflict)?;
    client.get(&client.at("p/a")).await?;
    for _ in 0..2 {
        client.delete(&client.at("p/a"), false).await?;
        refused("Get of deleted content", client.get(&client.at("p/a")).await, Reason::NotFound)?;
    }
    client.put(&client.at("p/a"), "again").await?;
    equal("content put again", client.get(&client.at("p/a")).await?.1, "again".into())
}

async fn delete_takes_a_tree_when_recursive(client: Client) -> Outcome {
    for name in ["t/a", "t/b/c/d", "t/b-", "t-", "tt/a"] {
        client.put(&client.at(name), name).await?;
    }
    for _ in 0..2 {
        client.delete(&client.at("t"), true).await?;
        refused("Stat of a deleted tree", client.stat(&client.at("t")).await, Reason::NotFound)?;
    }
    client.delete(&client.at("tt/a"), true).await?;
    let left = client.list(client.root(), "", 0).await?.entries;
    equal("what is left", left.into_iter().map(|entry| entry.name).collect(), vec!["t-".to_owned()])
}

async fn a_redirect_is_given_or_refused(client: Client) -> Outcome {
    let path = client.at("a");
    client.put(&path, "content").await?;
    let result = client.redirect_url(&path).await;
    if client.capabilities().redirect {
        let url = result?;
        return ensure(url.is_empty() || url.starts_with("http"), || format!("the URL is {url:?}"));
    }
    refused("RedirectUrl, which is not declared", result, Reason::Unsupported).map(drop)
}
