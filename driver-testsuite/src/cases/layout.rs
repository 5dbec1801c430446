//! What a registry asks of its store, from traces of a real one: its path layout, calls that follow from each other, and
//! what goes on at once. `cargo xtask record-traces` writes the files anew.

use std::collections::BTreeMap;

use storagedriver_proto::v1alpha1::Info;

use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, Unkept, broken, ensure, equal};
use crate::replay::replay;
use crate::trace::Trace;

cases! { "layout":
    Quick Writing [W1 W3 O1 O2 T1 R1 D2] "Layers that come whole are published, found, and read whole and in part."
        => monolithic_push,
    Quick Writing [W1 W3 W5 O1 A1] "A layer that comes in chunks is continued after each of them, at what is persisted."
        => chunked_push,
    Quick Writing [O2 O3 O4 D2 G1] "Two clients that push one layer at once both publish it, and it is there once."
        => two_clients_push_one_layer,
    Quick Writing [S1 U1 D1 G1] "A content that several links name stays when one of them is deleted." => mount,
    Quick Writing [G1 G2 U1 T1] "Who reads a link that is replaced meanwhile reads the old or the new one, whole."
        => tag_moved_under_readers,
    Quick Writing [D1 D2 W5 G6 I1 A1] "Nothing stays of uploads that are cancelled, or purged when left behind."
        => cancelled_upload_and_purge,
    Quick Writing [I1 I2 M1 D1 G6] "What is linked is listed in pages, and gone from the pages when it is deleted."
        => delete_and_list,
    Quick Writing [A1 A2 D1 G9] "A walk beside a push misses nothing that stays, and deleting beside one harms no other."
        => mark_and_sweep_beside_a_push,
    Quick Writing [T1 R1 R2 I1 S1] "A store that distribution wrote is read byte for byte, and reading changes nothing."
        => store_of_distribution,
}

/// The trace in the file of this name.
macro_rules! trace {
    ($name:literal) => {
        parse($name, include_str!(concat!("../../traces/", $name, ".jsonl")))
    };
}

fn parse(name: &str, text: &str) -> Outcome<Trace> {
    Trace::parse(text).map_err(|problem| Unkept::Broken(format!("the trace {name} cannot be read: {problem}")))
}

async fn monolithic_push(client: Client) -> Outcome {
    replay(&client, &trace!("monolithic-push")?).await
}

/// Where the registry continues depends on the granularity; of these recordings one continues where the driver can.
async fn chunked_push(client: Client) -> Outcome {
    let granularity = client.capabilities().granularity;
    for trace in [trace!("chunked-push")?, trace!("chunked-push-64k")?, trace!("chunked-push-64m")?] {
        if trace.fits(granularity) {
            return replay(&client, &trace).await;
        }
    }
    broken(format!("no trace continues sessions at multiples of {granularity}"))
}

async fn two_clients_push_one_layer(client: Client) -> Outcome {
    replay(&client, &trace!("two-clients-push-one-layer")?).await
}

async fn mount(client: Client) -> Outcome {
    replay(&client, &trace!("mount")?).await
}

async fn tag_moved_under_readers(client: Client) -> Outcome {
    replay(&client, &trace!("tag-moved-under-readers")?).await
}

async fn cancelled_upload_and_purge(client: Client) -> Outcome {
    replay(&client, &trace!("cancelled-upload-and-purge")?).await
}

async fn delete_and_list(client: Client) -> Outcome {
    replay(&client, &trace!("delete-and-list")?).await
}

async fn mark_and_sweep_beside_a_push(client: Client) -> Outcome {
    replay(&client, &trace!("mark-and-sweep-beside-a-push")?).await
}

async fn store_of_distribution(client: Client) -> Outcome {
    let (written, read) = trace!("store-of-distribution")?.cut("clients list and pull everything");
    replay(&client, &written).await?;
    let before = everything(&client).await?;
    ensure(!before.is_empty(), || "nothing is there after the store was written".to_owned())?;
    replay(&client, &read).await?;
    equal("all there is, with its times and versions", everything(&client).await?, before)
}

/// All content, as Stat tells it.
async fn everything(client: &Client) -> Outcome<BTreeMap<String, Info>> {
    let mut everything = BTreeMap::new();
    for path in client.walk_paths(client.root(), "").await? {
        let info = client.stat(&path).await?;
        everything.insert(path, info);
    }
    Ok(everything)
}

#[cfg(test)]
mod tests {
    use storagedriver_proto::limits::GRANULARITY_MAX;

    use super::*;

    #[test]
    fn every_trace_but_a_chunked_one_suits_every_granularity() {
        for trace in [
            trace!("monolithic-push"),
            trace!("chunked-push-64m"),
            trace!("two-clients-push-one-layer"),
            trace!("mount"),
            trace!("tag-moved-under-readers"),
            trace!("cancelled-upload-and-purge"),
            trace!("delete-and-list"),
            trace!("mark-and-sweep-beside-a-push"),
            trace!("store-of-distribution"),
        ] {
            assert!(trace.unwrap().fits(GRANULARITY_MAX));
        }
        let fits = |granularity| trace!("chunked-push-64k").unwrap().fits(granularity);
        assert_eq!([1, 1 << 10, 1 << 16, 1 << 17].map(fits), [true, true, true, false]);
    }
}
