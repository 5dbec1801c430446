//! Move.

use futures::future::join_all;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, refused, same_bytes};

cases! { "moving":
    Quick Writing [M1] "Move gives the target the whole content, replacing what was there; then the source is gone."
        => takes_and_replaces,
    Quick Writing [M1] "Move of nothing or of a prefix is NOT_FOUND, and the target is untouched." => nothing_refused,
    Quick Writing [M1] "Move onto itself is OK and changes nothing." => onto_itself,
    Quick Writing [M1] "Of two Moves from one source, one is OK." => two_movers,
    Quick Writing [M1 N5] "Move to where content is in the way is kept or refused, and loses nothing." => in_the_way,
    Quick Writing [M1 G1] "The source of a Move goes when the content is at the target, and not before." => source_goes_last,
    Full Writing [M1 G2] "While a content moves along, a reader finds it whole or not at all." => chain_under_readers,
    Full Writing [M1 D1] "A Move and a Delete at once leave the content at one place or at none." => move_against_delete,
}

async fn takes_and_replaces(client: Client) -> Outcome {
    let (source, target) = (client.at("s"), client.at("deep/er/t"));
    for (number, size) in [(1, 3_000_000), (2, 5), (3, 0)] {
        let wanted = content(number, size);
        client.store("s", &wanted).await?;
        let moved = client.rename(&source, &target).await?;
        same_bytes("the target", &client.read(&target, 0, None).await?.1, &wanted)?;
        equal("what Move answered", moved, client.stat(&target).await?)?;
        refused("Stat of the source", client.stat(&source).await, Reason::NotFound)?;
        equal("a walk", client.walk_paths(client.root(), "").await?, vec![target.clone()])?;
    }
    Ok(())
}

async fn nothing_refused(client: Client) -> Outcome {
    let target = client.at("t");
    client.put(&target, "kept").await?;
    client.put(&client.at("p/a"), "below").await?;
    for missing in ["nothing", "p", "p/a/b"].map(|name| client.at(name)) {
        refused("Move of no content", client.rename(&missing, &target).await, Reason::NotFound)?;
        refused("Move of no content onto itself", client.rename(&missing, &missing).await, Reason::NotFound)?;
        refused("Move of no content to nothing", client.rename(&missing, &client.at("new")).await, Reason::NotFound)?;
    }
    equal("the target", client.get(&target).await?.1, "kept".into())?;
    equal("what is below the prefix", client.get(&client.at("p/a")).await?.1, "below".into())
}

async fn onto_itself(client: Client) -> Outcome {
    let path = client.at("a");
    client.put(&path, "content").await?;
    equal("the size", client.rename(&path, &path).await?.size, 7)?;
    equal("content moved onto itself", client.get(&path).await?.1, "content".into())?;
    equal("a walk", client.walk_paths(client.root(), "").await?, vec![path])
}

async fn two_movers(client: Client) -> Outcome {
    for round in 0..30 {
        let [source, one, other] = ["s", "one", "other"].map(|name| client.at(&format!("{round}/{name}")));
        client.put(&source, "content").await?;
        let (first, second) = tokio::join!(client.rename(&source, &one), client.rename(&source, &other));
        equal("how many Moves succeeded", u8::from(first.is_ok()) + u8::from(second.is_ok()), 1)?;
        let (lost, won, empty) = if first.is_ok() { (second, one, other) } else { (first, other, one) };
        refused("the Move that lost", lost, Reason::NotFound)?;
        equal("the target of the Move that won", client.get(&won).await?.1, "content".into())?;
        refused("the target of the Move that lost", client.stat(&empty).await, Reason::NotFound)?;
    }
    Ok(())
}

async fn in_the_way(client: Client) -> Outcome {
    client.put(&client.at("content"), "content").await?;
    client.put(&client.at("prefix/a"), "below").await?;
    for target in ["content/below", "prefix"] {
        client.put(&client.at("s"), "moved").await?;
        let moved = client.rename(&client.at("s"), &client.at(target)).await;
        let place = if moved.is_ok() { target } else { "s" };
        if moved.is_err() {
            refused(&format!("Move to {target}"), moved, Reason::PathConflict)?;
        }
        equal("the moved content", client.get(&client.at(place)).await?.1, "moved".into())?;
    }
    equal("what was there", client.get(&client.at("content")).await?.1, "content".into())?;
    equal("what was there", client.get(&client.at("prefix/a")).await?.1, "below".into())
}

async fn source_goes_last(client: Client) -> Outcome {
    let wanted = content(5, 200_000);
    for round in 0..10 {
        let [source, target] = ["s", "t"].map(|name| client.at(&format!("{round}/{name}")));
        client.put(&source, wanted.clone()).await?;
        let watching = async {
            while client.stat(&source).await.is_ok() {}
            match client.get(&target).await {
                Ok((_, seen)) => same_bytes("the target, once the source has gone", &seen, &wanted),
                Err(status) => broken(format!("the source has gone, and the target is {:?}", status.message())),
            }
        };
        let (moved, watched) = tokio::join!(client.rename(&source, &target), watching);
        moved?;
        watched?;
    }
    Ok(())
}

async fn chain_under_readers(client: Client) -> Outcome {
    let wanted = content(4, 400_000);
    let places = ["a", "b", "c"].map(|name| client.at(name));
    client.put(&places[0], wanted.clone()).await?;
    let moving = async {
        for round in 0..90 {
            client.rename(&places[round % 3], &places[(round + 1) % 3]).await?;
        }
        Ok::<_, tonic::Status>(())
    };
    let reading = async {
        for round in 0..90 {
            match client.get(&places[round % 3]).await {
                Ok((_, seen)) => same_bytes("a content on the move", &seen, &wanted)?,
                missing => drop(refused("Get", missing, Reason::NotFound)?),
            }
        }
        Outcome::Ok(())
    };
    let (moved, read) = tokio::join!(moving, reading);
    moved?;
    read?;
    same_bytes("the content in the end", &client.get(&places[0]).await?.1, &wanted)
}

async fn move_against_delete(client: Client) -> Outcome {
    for round in 0..30 {
        let [source, target] = ["s", "t"].map(|name| client.at(&format!("{round}/{name}")));
        client.put(&source, "content").await?;
        let (moved, deleted) = tokio::join!(client.rename(&source, &target), client.delete(&source, false));
        deleted?;
        let there = join_all([client.stat(&source), client.stat(&target)]).await;
        let wanted = [false, moved.is_ok()];
        let seen: Vec<bool> = there.iter().map(Result::is_ok).collect();
        ensure(seen == wanted, || format!("Move ended with {moved:?}, and the content is at {seen:?}"))?;
    }
    Ok(())
}
