//! Sections 2 and 6 of the contract: what a refusal looks like, and that capabilities are told truly.

use storagedriver_proto::limits::{GRANULARITY_MAX, INLINE_MAX};
use storagedriver_proto::v1alpha1::StorageError;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, ensure, equal, not_offered, refused, refused_as};

cases! { "errors":
    Quick Writing [E1] "Every failed call carries one StorageError with its code, the path as sent, and a sentence."
        => each_reason,
    Quick Writing [E1] "A message has no path of the host." => no_host_path,
    Quick Every [C1] "Capabilities are constant while the process lives, and within the limits." => capabilities_constant,
    Quick Writing [C1] "What is not declared is UNSUPPORTED, never ignored." => undeclared_refused,
}

type Row = (&'static str, Result<(), Status>, Reason, String);

/// A call for each reason that a caller can provoke, with the path that the error must name.
async fn provoked(client: &Client) -> Outcome<Vec<Row>> {
    let at = |name: &str| client.at(name);
    client.put(&at("p/a"), "12345").await?;
    let _session = client.stage(&at("s"), b"1234567").await?;
    let size = client.aligned(8);
    Ok(vec![
        ("Stat", client.stat(&at("no")).await.map(drop), Reason::NotFound, at("no")),
        ("Get", client.get(&at("no")).await.map(drop), Reason::NotFound, at("no")),
        ("Read", client.read(&at("no"), 0, None).await.map(drop), Reason::NotFound, at("no")),
        ("Move", client.rename(&at("no"), &at("t")).await.map(drop), Reason::NotFound, at("no")),
        ("Write", client.open(&at("no"), size).await.map(drop), Reason::NotFound, at("no")),
        ("Commit", client.commit(&at("no"), &at("t"), 1).await.map(drop), Reason::NotFound, at("no")),
        ("Delete", client.delete(&at("p"), false).await, Reason::PathConflict, at("p")),
        ("Read", client.read(&at("p/a"), 6, None).await.map(drop), Reason::OffsetInvalid, at("p/a")),
        ("Commit", client.commit(&at("s"), &at("t"), 1 << 40).await.map(drop), Reason::OffsetInvalid, at("s")),
        ("Put", client.put(&at("t"), content(1, INLINE_MAX + 1)).await.map(drop), Reason::TooLarge, at("t")),
        ("Stat", client.stat("/a//b").await.map(drop), Reason::PathInvalid, "/a//b".to_owned()),
        ("List", client.list("a", "", 0).await.map(drop), Reason::PathInvalid, "a".to_owned()),
    ])
}

async fn each_reason(client: Client) -> Outcome {
    for (call, result, reason, path) in provoked(&client).await? {
        let error: StorageError = refused(call, result, reason)?;
        equal(&format!("{call}: the path of {reason:?}"), error.path, path)?;
    }
    Ok(())
}

async fn no_host_path(client: Client) -> Outcome {
    let temporary = std::env::temp_dir();
    for (call, result, ..) in provoked(&client).await? {
        let message = result.map_or_else(|status| status.message().to_owned(), |()| String::new());
        let bare = !message.contains(&*temporary.to_string_lossy()) && !message.contains("/home/");
        ensure(bare, || format!("{call}: {message}"))?;
    }
    Ok(())
}

async fn capabilities_constant(client: Client) -> Outcome {
    let told = *client.capabilities();
    ensure(told.granularity <= GRANULARITY_MAX, || format!("granularity {} is over the limit", told.granularity))?;
    for _ in 0..20 {
        // An operator's driver answers a Configure without parameters; one that was configured here refuses it.
        match client.configure(Default::default()).await {
            Ok(again) => equal("the capabilities", again, told)?,
            refusal => drop(refused("Configure with other parameters", refusal, Reason::ConfigInvalid)?),
        }
    }
    Ok(())
}

async fn undeclared_refused(client: Client) -> Outcome {
    let told = *client.capabilities();
    client.put(&client.at("a"), "content").await?;
    if !told.redirect {
        refused("RedirectUrl", client.redirect_url(&client.at("a")).await, Reason::Unsupported)?;
    }
    if !told.if_absent {
        let _session = client.stage(&client.at("s"), b"content").await?;
        let calls = [
            client.put_if(&client.at("b"), "x", true).await,
            client.commit_if(&client.at("s"), &client.at("b"), 7, true).await,
        ];
        for call in calls {
            refused("a call with if_absent", call, Reason::Unsupported)?;
        }
        refused_as("Stat", client.stat(&client.at("b")).await, &[Reason::NotFound])?;
    }
    if told.redirect && told.if_absent { not_offered("nothing: everything is declared") } else { Ok(()) }
}
