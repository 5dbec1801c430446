//! Section 4 of the contract: which paths there are, and that they do not touch each other.

use std::collections::BTreeSet;

use futures::FutureExt;
use futures::future::BoxFuture;
use storagedriver_proto::limits::{COMPONENT_MAX, PATH_MAX};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;

use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, refused};

cases! { "paths":
    Quick Writing [N1 N2]
        "A path that is none is PATH_INVALID to every call, whatever the caller promised." => invalid_refused,
    Quick Writing [N1 D1] "`/` is a path for List and Walk only." => root_only_listed,
    Quick Writing [N1] "A component may have 255 bytes and a path 1024." => longest,
    Quick Writing [N1] "A component may be any of `A-Z a-z 0-9 . _ -`, but for `.` and `..`." => odd_names,
    Quick Writing [N3] "A path never touches another that begins or looks alike." => siblings_untouched,
    Quick Writing [N3] "Paths that differ in case alone are two paths." => case_kept,
    Quick Writing [N5] "Content above or below content is kept or refused with PATH_CONFLICT, and takes nothing away."
        => above_and_below,
    Quick Writing [G6] "A prefix appears with the first content below it and is gone with the last."
        => prefix_lives_with_content,
}

type Call = fn(Client, String) -> BoxFuture<'static, Result<(), Status>>;

/// Every call that takes the path of content, as a function of that path.
const CALLS: [(&str, Call); 12] = [
    ("Stat", |client, path| async move { client.stat(&path).await.map(drop) }.boxed()),
    ("Get", |client, path| async move { client.get(&path).await.map(drop) }.boxed()),
    ("Put", |client, path| async move { client.put(&path, "x").await.map(drop) }.boxed()),
    ("Read", |client, path| async move { client.read(&path, 0, None).await.map(drop) }.boxed()),
    ("Move from", |client, path| async move { client.rename(&path, &client.at("t")).await.map(drop) }.boxed()),
    ("Move to", |client, path| async move { client.rename(&client.at("s"), &path).await.map(drop) }.boxed()),
    ("Delete", |client, path| async move { client.delete(&path, false).await }.boxed()),
    ("Delete recursively", |client, path| async move { client.delete(&path, true).await }.boxed()),
    ("Write", |client, path| async move { client.open(&path, 0).await.map(drop) }.boxed()),
    ("Write for", |client, path| async move { open_for(&client, &path).await }.boxed()),
    ("Commit from", |client, path| async move { client.commit(&path, &client.at("t"), 0).await.map(drop) }.boxed()),
    ("Commit to", |client, path| async move { client.commit(&client.at("s"), &path, 0).await.map(drop) }.boxed()),
];

/// The calls that also take the root.
const LISTINGS: [(&str, Call); 2] = [
    ("List", |client, path| async move { client.list(&path, "", 1).await.map(drop) }.boxed()),
    ("Walk", |client, path| async move { client.walk(&path, "").await.map(drop) }.boxed()),
];

/// A session with the hint `target`. An empty hint is none, and so no path that could be wrong.
async fn open_for(client: &Client, target: &str) -> Result<(), Status> {
    let target = if target.is_empty() { "no path" } else { target };
    client.open_for(&client.at("hinted"), 0, target).await.map(drop)
}

async fn invalid_refused(client: Client) -> Outcome {
    let long = format!("/{}", "a".repeat(COMPONENT_MAX + 1));
    let deep = format!("{}/a", "/a".repeat(PATH_MAX / 2));
    let below = client.at("a/");
    let escaping = client.at("../../../../etc/passwd");
    let bad = [
        "",
        "a",
        "a/b",
        "//",
        "/a//b",
        &below,
        "/.",
        "/..",
        "/a/../b",
        "/a/./b",
        &escaping,
        "/a b",
        "/a\0b",
        "/a\n",
        "/é",
        "/e\u{301}",
        "/a\\b",
        "/a%2fb",
        "/a:b",
        "/a*",
        "/~",
        &long,
        &deep,
    ];
    for path in bad {
        for (name, call) in CALLS.iter().chain(&LISTINGS) {
            refused(&format!("{name} {path:?}"), call(client.clone(), path.to_owned()).await, Reason::PathInvalid)?;
        }
    }
    Ok(())
}

async fn root_only_listed(client: Client) -> Outcome {
    client.put(&client.at("a"), "content").await?;
    for (name, call) in CALLS {
        refused(name, call(client.clone(), "/".to_owned()).await, Reason::PathInvalid)?;
    }
    let mine = client.root().split('/').nth(1).unwrap_or_default();
    let top = client.list_all("/", "", 0).await?;
    ensure(top.iter().any(|(name, is_prefix)| name == mine && *is_prefix), || format!("{mine} is not in {top:?}"))?;
    client.stat(&client.at("a")).await?;
    Ok(())
}

async fn longest(client: Client) -> Outcome {
    let wide = client.at(&"c".repeat(COMPONENT_MAX));
    let mut deep = client.at("deep");
    while deep.len() < PATH_MAX - 200 {
        deep.push_str("/0123");
    }
    deep.push('/');
    deep.push_str(&"d".repeat(PATH_MAX - deep.len()));
    for path in [&wide, &deep] {
        client.put(path, path.clone()).await?;
        equal("the content at a long path", client.get(path).await?.1, path.clone().into())?;
        let staging = format!("{}s", &path[..path.len() - 1]);
        let _session = client.open_for(&staging, 0, path).await?;
        client.commit(&staging, path, 0).await?;
        equal("content committed at a long path", client.stat(path).await?.size, 0)?;
    }
    equal("a walk to it", client.walk_paths(&client.at("deep"), "").await?, vec![deep])
}

async fn odd_names(client: Client) -> Outcome {
    let names = [
        "...",
        ".a",
        "a.",
        "-",
        "--",
        "-rf",
        "_",
        "a..b",
        "0",
        "Z",
        ".-_.",
        "CON",
        "nul.txt",
        "a.tmp",
        ".tmp",
        ".lock",
        "data",
        "link",
        "lost.found",
        "..a",
        "a.partial",
        ".staging",
        "_uploads",
    ];
    for name in names {
        client.put(&client.at(name), name).await?;
    }
    for name in names {
        equal("the content at an odd name", client.get(&client.at(name)).await?.1, name.into())?;
    }
    let listed: Vec<String> = client.list_all(client.root(), "", 0).await?.into_iter().map(|(name, _)| name).collect();
    let wanted: BTreeSet<String> = names.map(str::to_owned).into();
    equal("the names listed", listed, wanted.into_iter().collect())
}

async fn siblings_untouched(client: Client) -> Outcome {
    let others = ["a/bc", "a/b-", "a/b.", "a/b0", "a-b/c", "ab"].map(|name| client.at(name));
    for path in &others {
        client.put(path, path.clone()).await?;
    }
    client.put(&client.at("a/b/c"), "below").await?;
    equal("a walk", client.walk_paths(&client.at("a/b"), "").await?, vec![client.at("a/b/c")])?;
    equal("a listing", client.list_all(&client.at("a/b"), "", 0).await?, vec![("c".to_owned(), false)])?;
    client.delete(&client.at("a/b"), true).await?;
    for path in &others {
        equal("the content beside a deleted path", client.get(path).await?.1, path.clone().into())?;
    }
    refused("Stat of the deleted path", client.stat(&client.at("a/b")).await, Reason::NotFound).map(drop)
}

async fn case_kept(client: Client) -> Outcome {
    let names = ["Case", "case", "CASE", "dir/a", "Dir/a"];
    for name in names {
        client.put(&client.at(name), name).await?;
    }
    client.delete(&client.at("CASE"), false).await?;
    client.delete(&client.at("dir"), true).await?;
    for name in ["Case", "case", "Dir/a"] {
        equal("the content at a name of another case", client.get(&client.at(name)).await?.1, name.into())?;
    }
    Ok(())
}

async fn above_and_below(client: Client) -> Outcome {
    let rows = [("above", "above/below"), ("under/below", "under"), ("far", "far/a/b/c")];
    for (first, second) in rows.map(|(first, second)| (client.at(first), client.at(second))) {
        client.put(&first, "first").await?;
        let put = client.put(&second, "second").await;
        if put.is_err() {
            refused(&format!("Put {second}"), put, Reason::PathConflict)?;
            refused(&format!("Get {second}"), client.get(&second).await, Reason::NotFound)?;
        } else {
            equal("the second content", client.get(&second).await?.1, "second".into())?;
        }
        equal("the first content", client.get(&first).await?.1, "first".into())?;
    }
    Ok(())
}

async fn prefix_lives_with_content(client: Client) -> Outcome {
    let (prefix, path) = (client.at("p/q"), client.at("p/q/r"));
    for how in ["deleted", "moved", "deleted with it"] {
        client.put(&path, "content").await?;
        let info = client.stat(&prefix).await?;
        equal("Stat of a prefix", (info.is_prefix, info.size, info.version.as_str()), (true, 0, ""))?;
        match how {
            "deleted" => client.delete(&path, false).await?,
            "moved" => drop(client.rename(&path, &client.at("elsewhere")).await?),
            _ => client.delete(&prefix, true).await?,
        }
        for gone in [&prefix, &client.at("p")] {
            refused(&format!("Stat of a prefix whose content is {how}"), client.stat(gone).await, Reason::NotFound)?;
        }
    }
    client.delete(&client.at("elsewhere"), false).await?;
    match client.list_all(client.root(), "", 0).await?.as_slice() {
        [] => Ok(()),
        left => broken(format!("an empty prefix is listed: {left:?}")),
    }
}
