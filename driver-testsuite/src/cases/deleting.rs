//! Delete.

use futures::future::join_all;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, equal, refused, same_bytes};

cases! { "deleting":
    Quick Writing [D1] "Delete takes the content at the path and nothing else." => content_alone,
    Quick Writing [D1] "Delete of nothing is OK, however often." => nothing_there,
    Quick Writing [D1] "Delete of a prefix without `recursive` is PATH_CONFLICT, and nothing changes." => prefix_refused,
    Quick Writing [D1 N3] "A recursive Delete takes all at and below the path, and nothing that looks like it." => a_tree,
    Full Writing [D1] "A recursive Delete takes thousands in one call." => thousands,
    Quick Writing [D1] "Two Deletes at once are both OK." => two_at_once,
    Full Writing [D1 G2] "A Put below a path that is being deleted exists wholly or not at all." => against_put,
}

async fn content_alone(client: Client) -> Outcome {
    for name in ["p/a", "p/b", "p/a-"] {
        client.put(&client.at(name), name).await?;
    }
    client.delete(&client.at("p/a"), false).await?;
    refused("Get of deleted content", client.get(&client.at("p/a")).await, Reason::NotFound)?;
    refused("Stat of deleted content", client.stat(&client.at("p/a")).await, Reason::NotFound)?;
    equal("a walk", client.walk_paths(client.root(), "").await?, ["p/a-", "p/b"].map(|name| client.at(name)).to_vec())?;
    client.put(&client.at("p/a"), "again").await?;
    equal("content put again", client.get(&client.at("p/a")).await?.1, "again".into())
}

async fn nothing_there(client: Client) -> Outcome {
    client.put(&client.at("a"), "content").await?;
    for name in ["nothing", "deep/er/nothing", "a/below"] {
        for recursive in [false, true, false] {
            client.delete(&client.at(name), recursive).await?;
        }
    }
    equal("what is there", client.get(&client.at("a")).await?.1, "content".into())
}

async fn prefix_refused(client: Client) -> Outcome {
    client.put(&client.at("p/q/a"), "content").await?;
    for prefix in ["p", "p/q"] {
        refused("Delete of a prefix", client.delete(&client.at(prefix), false).await, Reason::PathConflict)?;
    }
    equal("what is below", client.get(&client.at("p/q/a")).await?.1, "content".into())
}

async fn a_tree(client: Client) -> Outcome {
    for name in ["t/a", "t/b/c/d", "t/b-", "t-", "t.", "tt/a", "T/a"] {
        client.put(&client.at(name), name).await?;
    }
    for _ in 0..2 {
        client.delete(&client.at("t"), true).await?;
        refused("Stat of a deleted tree", client.stat(&client.at("t")).await, Reason::NotFound)?;
        refused("Stat in a deleted tree", client.stat(&client.at("t/b/c/d")).await, Reason::NotFound)?;
    }
    client.delete(&client.at("tt/a"), true).await?;
    let left: Vec<String> = client.list_all(client.root(), "", 0).await?.into_iter().map(|(name, _)| name).collect();
    equal("what is left", left, ["T", "t-", "t."].map(str::to_owned).to_vec())
}

async fn thousands(client: Client) -> Outcome {
    client.put_all((0..2500).map(|number| format!("t/{}/{number}", number % 7))).await?;
    client.put(&client.at("t-"), "beside").await?;
    client.delete(&client.at("t"), true).await?;
    equal("what is left", client.walk_paths(client.root(), "").await?, vec![client.at("t-")])?;
    refused("Stat of a deleted tree", client.stat(&client.at("t")).await, Reason::NotFound).map(drop)
}

async fn two_at_once(client: Client) -> Outcome {
    for round in 0..20 {
        let [path, tree] = ["a", "t"].map(|name| client.at(&format!("{round}/{name}")));
        client.put(&path, "content").await?;
        client.put_all((0..5).map(|number| format!("{round}/t/{number}"))).await?;
        let deletes = [(&path, false), (&path, false), (&tree, true), (&tree, true)];
        for delete in join_all(deletes.map(|(path, recursive)| client.delete(path, recursive))).await {
            delete?;
        }
        equal("what is left", client.walk_paths(&client.at(&round.to_string()), "").await?, Vec::new())?;
    }
    Ok(())
}

async fn against_put(client: Client) -> Outcome {
    let wanted = content(1, 100_000);
    for round in 0..40 {
        let (tree, path) = (client.at(&format!("{round}/t")), client.at(&format!("{round}/t/u/a")));
        client.put(&client.at(&format!("{round}/t/u/b")), "beside").await?;
        let (put, deleted) = tokio::join!(client.put(&path, wanted.clone()), client.delete(&tree, true));
        deleted?;
        put?;
        match client.get(&path).await {
            Ok((_, seen)) => same_bytes("content put beside a Delete", &seen, &wanted)?,
            missing => drop(refused("Get", missing, Reason::NotFound)?),
        }
        client.put(&path, "after").await?;
        equal("content put after the Delete", client.get(&path).await?.1, "after".into())?;
    }
    Ok(())
}
