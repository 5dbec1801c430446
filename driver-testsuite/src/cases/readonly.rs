//! A store that somebody else filled, and that takes no changes.

use std::collections::BTreeMap;

use storagedriver_proto::limits::INLINE_MAX;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{Info, WalkRequest};
use tonic::Status;

use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, ensure, equal, refused};

cases! { "readonly":
    Quick ReadOnly [C1] "A store that declares read_only answers READ_ONLY to every mutating call." => refuses_changes,
    Quick ReadOnly [C1] "A store that is judged for reading alone declares read_only." => is_declared,
    Full ReadOnly [S1 T1 R1 R2 A1] "What Walk shows can be looked at and read." => reads_what_is_there,
    Full ReadOnly [C1 G1] "Refused calls change nothing." => changes_nothing,
}

/// Content that is looked at, at most.
const CONTENTS: usize = 200;

/// Bytes of a content that are read, at most.
const BYTES: u64 = 4 << 20;

/// The first contents of the store.
async fn contents(client: &Client) -> Outcome<BTreeMap<String, Info>> {
    let request = WalkRequest { path: "/".to_owned(), start_after: String::new() };
    let mut messages = client.raw_streams().walk(request).await?.into_inner();
    let mut contents = BTreeMap::new();
    while let Some(message) = messages.message().await? {
        let entries = message.entries.into_iter().map(|entry| (entry.path, entry.info.unwrap_or_default()));
        contents.extend(entries.take(CONTENTS - contents.len()));
        if contents.len() == CONTENTS {
            break;
        }
    }
    if contents.is_empty() {
        client.journal().remark("the store is empty: hardly anything could be looked at");
    }
    Ok(contents)
}

async fn is_declared(client: Client) -> Outcome {
    ensure(client.capabilities().read_only, || "read_only is not declared".to_owned())
}

/// Makes every mutating call on `path`, and sees it refused.
async fn refuses(client: &Client, path: &str) -> Outcome {
    let other = client.at("other");
    let results: [(&str, Result<(), Status>); 9] = [
        ("Put", client.put(path, "x").await.map(drop)),
        ("Put of nothing", client.put(path, "").await.map(drop)),
        ("Move", client.rename(path, &other).await.map(drop)),
        ("Move back", client.rename(&other, path).await.map(drop)),
        ("Delete", client.delete(path, false).await),
        ("recursive Delete", client.delete(path, true).await),
        ("Write", client.open(path, 0).await.map(drop)),
        ("Write at an offset", client.open(path, client.aligned(1)).await.map(drop)),
        ("Commit", client.commit(&other, path, 1).await.map(drop)),
    ];
    for (call, result) in results {
        refused(call, result, Reason::ReadOnly)?;
    }
    Ok(())
}

async fn refuses_changes(client: Client) -> Outcome {
    refuses(&client, &client.at("a")).await?;
    match contents(&client).await?.into_iter().next() {
        Some((path, _)) => refuses(&client, &path).await,
        None => Ok(()),
    }
}

async fn reads_what_is_there(client: Client) -> Outcome {
    for (path, entry) in contents(&client).await? {
        let info = client.stat(&path).await?;
        equal(&format!("the size of {path}"), (entry.size, info.is_prefix), (info.size, false))?;
        let length = info.size.min(BYTES);
        let (told, seen) = client.read(&path, 0, Some(length)).await?;
        equal(&format!("the info of {path}"), &told, &info)?;
        equal(&format!("the bytes of {path}"), seen.len() as u64, length)?;
        equal(&format!("the bytes at the end of {path}"), client.read(&path, info.size, None).await?.1, Vec::new())?;
        refused("a Read beyond", client.read(&path, info.size + 1, None).await, Reason::OffsetInvalid)?;
        if info.size > INLINE_MAX as u64 {
            refused("Get of more than 1 MiB", client.get(&path).await, Reason::TooLarge)?;
        } else {
            let (told, whole) = client.get(&path).await?;
            equal(&format!("Get and Read of {path}"), (told, &whole[..]), (info, &seen[..]))?;
        }
    }
    refused("Stat of nothing", client.stat(&client.at("nothing")).await, Reason::NotFound).map(drop)
}

async fn changes_nothing(client: Client) -> Outcome {
    let before = contents(&client).await?;
    for path in before.keys().take(5).chain([&client.at("a")]) {
        refuses(&client, path).await?;
    }
    for (path, _) in before.iter().take(5) {
        client.stat(path).await?;
    }
    equal("what Walk shows", contents(&client).await?, before)?;
    equal("what List shows", client.list(client.root(), "", 0).await?.entries.len(), 0)
}
