//! A store that takes no changes: it is read as it is, and every call that would change it is refused.

use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, ensure, equal, refused};

cases! { "readonly":
    Quick ReadOnly [C1] "A store of this profile is declared `read_only`." => declared,
    Quick ReadOnly [C1] "Every call that would change something is READ_ONLY." => changes_refused,
    Quick ReadOnly [A1 S1 R1] "What is there is walked, told and read." => read,
    Quick ReadOnly [S1 T1 I3] "What is not there is NOT_FOUND, or an empty listing." => nothing_there,
}

/// Contents that are looked at.
const LOOKED_AT: usize = 50;

async fn declared(client: Client) -> Outcome {
    equal("read_only", client.capabilities().read_only, true)
}

async fn changes_refused(client: Client) -> Outcome {
    let path = client.at("a");
    let calls = [
        ("Put", client.put(&path, "content").await.map(drop)),
        ("Delete", client.delete(&path, false).await),
        ("Delete recursively", client.delete(client.root(), true).await),
        ("Move", client.rename(&path, &client.at("b")).await.map(drop)),
        ("Write", client.open(&path, 0).await.map(drop)),
        ("Commit", client.commit(&path, &client.at("b"), 0).await.map(drop)),
    ];
    for (call, result) in calls {
        refused(call, result, Reason::ReadOnly)?;
    }
    refused("Stat", client.stat(&path).await, Reason::NotFound).map(drop)
}

async fn read(client: Client) -> Outcome {
    let walked = client.walk("/", "").await?.into_iter().flat_map(|message| message.entries);
    for entry in walked.take(LOOKED_AT) {
        let info = client.stat(&entry.path).await?;
        equal("the size", entry.info.unwrap_or_default().size, info.size)?;
        let (told, seen) = client.read(&entry.path, 0, Some(1 << 20)).await?;
        equal("the size", told.size, info.size)?;
        ensure(seen.len() as u64 == info.size.min(1 << 20), || format!("{} bytes of {}", seen.len(), info.size))?;
    }
    Ok(())
}

async fn nothing_there(client: Client) -> Outcome {
    refused("Stat", client.stat(&client.at("a")).await, Reason::NotFound)?;
    refused("Get", client.get(&client.at("a")).await, Reason::NotFound)?;
    equal("List", client.list_all(client.root(), "", 0).await?, Vec::new())?;
    equal("Walk", client.walk_paths(client.root(), "").await?, Vec::new())
}
