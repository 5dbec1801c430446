//! Section 4 of the contract: which paths there are, and that they do not touch each other.

use std::collections::BTreeSet;

use futures::FutureExt;
use futures::future::BoxFuture;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;

use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, refused, refused_as};

cases! { "paths":
    Quick Writing [N2] "A path that is none is refused by every call." => a_path_that_is_none_is_refused_by_every_call,
    Quick Writing [N1] "The root is for list and walk alone." => the_root_is_for_list_and_walk_alone,
    Quick Writing [N1] "The longest paths are taken." => the_longest_paths_are_taken,
    Quick Writing [N1] "Every allowed byte is taken." => every_allowed_byte_is_taken,
    Quick Writing [N3] "A path touches no other." => a_path_touches_no_other,
    Quick Writing [N5] "Content is not lost to content above or below it." => content_is_not_lost_to_content_above_or_below_it,
    Quick Writing [G6] "A prefix comes and goes with its content." => a_prefix_comes_and_goes_with_its_content,
}

type Call = fn(Client, String) -> BoxFuture<'static, Result<(), Status>>;

/// Every call that takes the path of content, as a function of that path.
const CALLS: [(&str, Call); 11] = [
    ("Stat", |client, path| async move { client.stat(&path).await.map(drop) }.boxed()),
    ("Get", |client, path| async move { client.get(&path).await.map(drop) }.boxed()),
    ("Put", |client, path| async move { client.put(&path, "x").await.map(drop) }.boxed()),
    ("Read", |client, path| async move { client.read(&path, 0, None).await.map(drop) }.boxed()),
    ("Move from", |client, path| async move { client.rename(&path, &client.at("t")).await.map(drop) }.boxed()),
    ("Move to", |client, path| async move { client.rename(&client.at("s"), &path).await.map(drop) }.boxed()),
    ("Delete", |client, path| async move { client.delete(&path, false).await }.boxed()),
    ("Delete recursively", |client, path| async move { client.delete(&path, true).await }.boxed()),
    ("Write", |client, path| async move { client.open(&path, 0).await.map(drop) }.boxed()),
    ("Commit from", |client, path| async move { client.commit(&path, &client.at("t"), 0).await.map(drop) }.boxed()),
    ("Commit to", |client, path| async move { client.commit(&client.at("s"), &path, 0).await.map(drop) }.boxed()),
];

/// The calls that also take the root.
const LISTINGS: [(&str, Call); 2] = [
    ("List", |client, path| async move { client.list(&path, "", 1).await.map(drop) }.boxed()),
    ("Walk", |client, path| async move { client.walk(&path, "").await.map(drop) }.boxed()),
];

async fn a_path_that_is_none_is_refused_by_every_call(client: Client) -> Outcome {
    let long = format!("/{}", "a".repeat(256));
    let deep = "/a".repeat(513);
    let below = client.at("a/");
    let bad = ["", "a", "//", "/a//b", &below, "/.", "/..", "/a/../b", "/a b", "/a\0b", "/é", "/a\\b", &long, &deep];
    for path in bad {
        for (name, call) in CALLS.iter().chain(&LISTINGS) {
            let result = call(client.clone(), path.to_owned()).await;
            let error = refused(&format!("{name} {path:?}"), result, Reason::PathInvalid)?;
            ensure(*name != "Stat" || path.starts_with(&error.path), || format!("{path:?} came back in {error:?}"))?;
        }
    }
    Ok(())
}

async fn the_root_is_for_list_and_walk_alone(client: Client) -> Outcome {
    client.put(&client.at("a"), "content").await?;
    for (name, call) in CALLS {
        refused(name, call(client.clone(), "/".to_owned()).await, Reason::PathInvalid)?;
    }
    let top: BTreeSet<String> = client.list("/", "", 0).await?.entries.into_iter().map(|entry| entry.name).collect();
    let root = client.root().split('/').nth(1).unwrap_or_default();
    equal("the root lists the folder of this run", top.contains(root), true)?;
    client.stat(&client.at("a")).await?;
    Ok(())
}

async fn the_longest_paths_are_taken(client: Client) -> Outcome {
    let wide = client.at(&"c".repeat(255));
    let mut deep = client.at("deep");
    while deep.len() < 1024 - 200 {
        deep.push_str("/0123456789");
    }
    deep.push('/');
    deep.push_str(&"d".repeat(1024 - deep.len()));
    for path in [&wide, &deep] {
        client.put(path, path.clone()).await?;
        equal("the content at a long path", client.get(path).await?.1, path.clone().into())?;
    }
    let walked = client.walk(&client.at("deep"), "").await?;
    equal("a walk to it", walked.iter().flat_map(|message| &message.entries).any(|entry| entry.path == deep), true)
}

async fn every_allowed_byte_is_taken(client: Client) -> Outcome {
    let names = ["...", ".a", "a.", "-", "--", "_", "a..b", "0", "Z", ".-_.", "CON", "a.tmp", ".lock"];
    for name in names {
        client.put(&client.at(name), name).await?;
    }
    for name in names {
        equal("the content at an odd name", client.get(&client.at(name)).await?.1, name.into())?;
    }
    let listed: Vec<String> = client.list(client.root(), "", 0).await?.entries.into_iter().map(|e| e.name).collect();
    let wanted: BTreeSet<String> = names.map(str::to_owned).into();
    equal("the names listed", listed, wanted.into_iter().collect())
}

async fn a_path_touches_no_other(client: Client) -> Outcome {
    let others = ["a/bc", "a/b-", "a/B", "A/b", "a/b.", "ab"].map(|name| client.at(name));
    for path in &others {
        client.put(path, path.clone()).await?;
    }
    client.put(&client.at("a/b/c"), "below").await?;
    client.delete(&client.at("a/b"), true).await?;
    for path in &others {
        equal("the content beside a deleted path", client.get(path).await?.1, path.clone().into())?;
    }
    refused("Stat of the deleted path", client.stat(&client.at("a/b")).await, Reason::NotFound).map(drop)
}

async fn content_is_not_lost_to_content_above_or_below_it(client: Client) -> Outcome {
    let rows = [("above", "above/below"), ("under/below", "under")];
    for (first, second) in rows.map(|(first, second)| (client.at(first), client.at(second))) {
        client.put(&first, "first").await?;
        let put = client.put(&second, "second").await;
        if put.is_err() {
            refused(&format!("Put {second}"), put, Reason::PathConflict)?;
        } else {
            equal("the second content", client.get(&second).await?.1, "second".into())?;
        }
        equal("the first content", client.get(&first).await?.1, "first".into())?;
    }
    Ok(())
}

async fn a_prefix_comes_and_goes_with_its_content(client: Client) -> Outcome {
    let (prefix, path) = (client.at("p/q"), client.at("p/q/r"));
    client.put(&path, "content").await?;
    let info = client.stat(&prefix).await?;
    equal("Stat of a prefix", (info.is_prefix, info.size, info.version.as_str()), (true, 0, ""))?;
    client.delete(&path, false).await?;
    for gone in [&prefix, &client.at("p")] {
        refused_as("Stat of an empty prefix", client.stat(gone).await, &[Reason::NotFound])?;
    }
    match client.list(client.root(), "", 0).await?.entries.as_slice() {
        [] => Ok(()),
        left => broken(format!("an empty prefix is listed: {left:?}")),
    }
}
