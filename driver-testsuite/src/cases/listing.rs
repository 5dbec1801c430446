//! List and Walk: order, pages, and completeness.

use std::collections::BTreeSet;

use futures::StreamExt;
use rand::seq::SliceRandom;
use storagedriver_proto::Path;
use storagedriver_proto::limits::{COMPONENT_MAX, PAGE_MAX};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{Info, WalkRequest};

use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, ensure, equal, refused};

cases! { "listing":
    Quick Writing [I1 I2] "Names come ordered bytewise, each once, whatever the size of a page." => ordered_pages,
    Quick Writing [I1] "`start_after` is exclusive and need not exist." => start_after,
    Quick Writing [I1] "A name that begins another comes before it, across pages." => alike_names,
    Quick Writing [I1 A1] "A listing tells of a name what Stat tells." => tells_what_stat_tells,
    Quick Writing [I1 I2 W4] "Beside open sessions too names come in order, each once." => beside_sessions,
    Quick Writing [I1] "A page has at most 1000 names, however long they are." => page_clipped,
    Quick Writing [I3] "Where nothing is, and where content is, a listing is empty and no error." => nothing_there,
    Quick Writing [I2] "A listing goes on after a name that was deleted meanwhile." => deleted_meanwhile,
    Full Writing [I2 A2] "Whatever exists during a whole listing appears exactly once." => changed_meanwhile,
    Full Writing [I1 I2 A1 A2] "Ten thousand names are listed and walked completely." => ten_thousand,
    Quick Writing [A1] "A walk goes depth first, ordered bytewise by path component, content only." => walk_order,
    Quick Writing [A1] "A walk begins after any path, which need not exist." => walk_from,
    Quick Writing [A1 A2] "A walk that breaks continues after the last path received." => walk_continued,
    Quick Writing [A2] "A walk of nothing is empty." => walk_of_nothing,
}

/// Content whose order by bytes, by component and by length all differ.
const NAMES: [&str; 9] = ["A", "a-b/y", "a.b", "a/x", "a/x-", "a0", "ab/c/d", "b/0/0", "b/00"];

async fn fill(client: &Client) -> Outcome {
    Ok(client.put_all(NAMES.map(str::to_owned)).await?)
}

async fn ordered_pages(client: Client) -> Outcome {
    fill(&client).await?;
    let wanted = [("A", false), ("a", true), ("a-b", true), ("a.b", false), ("a0", false), ("ab", true), ("b", true)];
    let wanted: Vec<(String, bool)> = wanted.map(|(name, is_prefix)| (name.to_owned(), is_prefix)).into();
    for limit in [0, 1, 2, 3, 6, 7, 8, 1000, u32::MAX] {
        equal(&format!("pages of {limit}"), client.list_all(client.root(), "", limit).await?, wanted.clone())?;
        let page = client.list(client.root(), "", limit).await?;
        let most = if limit == 0 { wanted.len() } else { wanted.len().min(limit as usize) };
        equal(&format!("a page of {limit}"), (page.entries.len(), page.more), (most, most < wanted.len()))?;
    }
    Ok(())
}

async fn start_after(client: Client) -> Outcome {
    fill(&client).await?;
    let rows = [("0", "A"), ("A", "a"), ("B", "a"), ("a", "a-b"), ("a-", "a-b"), ("a-b", "a.b"), ("a1", "ab")];
    for (start_after, first) in rows {
        let page = client.list(client.root(), start_after, 1).await?;
        let what = format!("the first name after {start_after:?}");
        equal(&what, page.entries.first().map(|entry| entry.name.as_str()), Some(first))?;
    }
    for last in ["b", "c", "zz"] {
        let page = client.list(client.root(), last, 0).await?;
        equal(&format!("names after {last:?}, and more"), (page.entries.len(), page.more), (0, false))?;
    }
    let no_name = client.list(client.root(), "a/x", 0).await;
    refused("List with the start_after \"a/x\", which is no name", no_name, Reason::PathInvalid).map(drop)
}

async fn alike_names(client: Client) -> Outcome {
    let names = ["v1", "v1-a", "v1.0", "v1.0-rc", "v10", "v1_", "w"];
    client.put_all(names.map(|name| format!("tags/{name}/current/link"))).await?;
    client.put_all(names.map(|name| format!("files/{name}"))).await?;
    for folder in ["tags", "files"] {
        for limit in 1..=names.len() as u32 {
            let listed = client.list_all(&client.at(folder), "", limit).await?;
            let wanted = names.map(|name| (name.to_owned(), folder == "tags"));
            equal(&format!("{folder} in pages of {limit}"), listed, wanted.to_vec())?;
        }
    }
    let walked = client.walk_paths(&client.at("tags"), "").await?;
    equal("a walk", walked, names.map(|name| client.at(&format!("tags/{name}/current/link"))).to_vec())
}

/// Whether sessions show is not said; what does show is listed like anything else.
async fn beside_sessions(client: Client) -> Outcome {
    let staged = ["a/s", "b", "d/e"];
    client.put_all(["a/x", "c", "d/f"].map(str::to_owned)).await?;
    let mut sessions = Vec::new();
    for name in staged {
        sessions.push(client.stage(&client.at(name), b"staged").await?);
    }
    for limit in [0, 1, 2] {
        let names: Vec<String> =
            client.list_all(client.root(), "", limit).await?.into_iter().map(|(name, _)| name).collect();
        ensure(names.is_sorted_by(|one, next| one < next), || format!("names out of order, or twice: {names:?}"))?;
        let missing = ["a", "c", "d"].into_iter().find(|name| !names.iter().any(|seen| seen == name));
        equal("a name that is missing", missing, None)?;
    }
    drop(sessions);
    for name in staged {
        client.delete(&client.at(name), false).await?;
    }
    let wanted = [("a", true), ("c", false), ("d", true)].map(|(name, is_prefix)| (name.to_owned(), is_prefix));
    equal("the names without sessions", client.list_all(client.root(), "", 0).await?, wanted.to_vec())
}

async fn page_clipped(client: Client) -> Outcome {
    let tail = "n".repeat(COMPONENT_MAX - 5);
    let wanted: Vec<String> = (0..PAGE_MAX + 50).map(|number| format!("{number:05}{tail}")).collect();
    client.put_all(wanted.clone()).await?;
    for limit in [0, 1000, 1001, u32::MAX] {
        let page = client.list(client.root(), "", limit).await?;
        equal("the length of a page", (page.entries.len(), page.more), (PAGE_MAX, true))?;
    }
    let messages = client.walk(client.root(), "").await?;
    ensure(messages.iter().all(|message| message.entries.len() <= PAGE_MAX), || "a long Walk message".to_owned())?;
    let walked = messages.into_iter().flat_map(|message| message.entries).map(|entry| entry.path);
    ensure(walked.eq(wanted.iter().map(|name| client.at(name))), || "a walk is not what was put".to_owned())
}

async fn nothing_there(client: Client) -> Outcome {
    client.put(&client.at("content"), "x").await?;
    for name in ["nothing", "content", "content/below", "deep/er/nothing"] {
        let page = client.list(&client.at(name), "", 0).await?;
        equal(name, (page.entries.len(), page.more), (0, false))?;
    }
    Ok(())
}

async fn deleted_meanwhile(client: Client) -> Outcome {
    client.put_all((0..30).map(|number| format!("{number:02}"))).await?;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = client.list(client.root(), &after, 4).await?;
        seen.extend(page.entries.iter().map(|entry| entry.name.clone()));
        let Some(last) = seen.last().filter(|_| page.more) else { break };
        after.clone_from(last);
        client.delete(&client.at(&after), false).await?;
    }
    equal("the names of all pages", seen, (0..30).map(|number| format!("{number:02}")).collect())
}

/// Names that stay, and between each two of them one that comes and goes.
async fn changed_meanwhile(client: Client) -> Outcome {
    let stay: BTreeSet<String> = (0..1200).map(|number| format!("{number:04}-stays")).collect();
    client.put_all(stay.iter().cloned()).await?;
    let changing = async {
        for round in 0..6 {
            let names = (0..100).map(|number| format!("{:04}-comes", number * 12 + round));
            client.put_all(names.clone()).await?;
            for name in names {
                client.delete(&client.at(&name), false).await?;
            }
        }
        Ok::<_, tonic::Status>(())
    };
    let listing = async {
        for limit in [100, 333, 1000] {
            let listed = client.list_all(client.root(), "", limit).await?.into_iter().map(|(name, _)| name);
            complete(&format!("pages of {limit}"), listed.collect(), &stay)?;
            let walked = client.walk_paths(client.root(), "").await?;
            let cut = client.root().len() + 1;
            complete("a walk", walked.into_iter().map(|path| path[cut..].to_owned()).collect(), &stay)?;
        }
        Outcome::Ok(())
    };
    let (changed, listed) = tokio::join!(changing, listing);
    changed?;
    listed
}

/// All of `stay`, in order, and nothing twice.
fn complete(what: &str, seen: Vec<String>, stay: &BTreeSet<String>) -> Outcome {
    ensure(seen.is_sorted_by(|one, next| one < next), || format!("{what}: names out of order, or twice"))?;
    let seen: BTreeSet<String> = seen.into_iter().collect();
    let missing: Vec<_> = stay.difference(&seen).take(5).collect();
    ensure(missing.is_empty(), || format!("{what}: without {missing:?}, which were there all the time"))
}

async fn ten_thousand(client: Client) -> Outcome {
    let mut names: Vec<String> = (0..10_000).map(|number| format!("{number:05}")).collect();
    let wanted = names.clone();
    names.shuffle(&mut client.random());
    client.put_all(names).await?;
    for limit in [0, 999, 1000] {
        let listed = client.list_all(client.root(), "", limit).await?.into_iter().map(|(name, _)| name);
        ensure(listed.eq(wanted.iter().cloned()), || format!("pages of {limit} are not what was put"))?;
    }
    let walked = client.walk_paths(client.root(), "").await?;
    ensure(walked.into_iter().eq(wanted.iter().map(|name| client.at(name))), || {
        "a walk is not what was put".to_owned()
    })?;
    let last = client.list(client.root(), "09998", 10).await?;
    equal("the last page", (last.entries.len(), last.more), (1, false))
}

/// The names in the order of a walk.
fn in_order(client: &Client) -> Vec<String> {
    let mut paths: Vec<Path> = NAMES.iter().filter_map(|name| Path::parse(&client.at(name)).ok()).collect();
    paths.sort();
    paths.iter().map(ToString::to_string).collect()
}

async fn walk_order(client: Client) -> Outcome {
    fill(&client).await?;
    equal("the walk", client.walk_paths(client.root(), "").await?, in_order(&client))?;
    let below = ["a/x", "a/x-"].map(|name| client.at(name));
    equal("the walk of a subtree", client.walk_paths(&client.at("a"), "").await?, below.to_vec())
}

async fn walk_from(client: Client) -> Outcome {
    fill(&client).await?;
    let all = in_order(&client);
    let missing = ["0", "a", "a/w", "a/x/z", "a/y", "a-", "a-b/z/z", "ab/c", "ab/c/d/e", "b/0", "b/0/1", "z"];
    let missing = missing.map(|name| client.at(name));
    for start in all.iter().chain(&missing) {
        let Ok(after) = Path::parse(start) else { continue };
        let wanted = all.iter().filter(|path| Path::parse(path).is_ok_and(|path| path > after)).cloned().collect();
        equal(&format!("the walk after {start}"), client.walk_paths(client.root(), start).await?, wanted)?;
    }
    Ok(())
}

async fn walk_continued(client: Client) -> Outcome {
    let wanted: Vec<String> = (0..2200).map(|number| format!("{:02}/{number:04}", number / 100)).collect();
    client.put_all(wanted.clone()).await?;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let request = WalkRequest { path: client.root().to_owned(), start_after: after.clone() };
        let mut stream = client.raw_streams().walk(request).await?.into_inner();
        let Some(first) = stream.next().await.transpose()? else { break };
        // The stream breaks here; some of its message had been received.
        let kept = first.entries.len().div_ceil(2);
        seen.extend(first.entries.into_iter().take(kept).map(|entry| entry.path));
        after = seen.last().cloned().unwrap_or_default();
    }
    ensure(seen.into_iter().eq(wanted.iter().map(|name| client.at(name))), || "not what was put".to_owned())
}

async fn walk_of_nothing(client: Client) -> Outcome {
    client.put(&client.at("content"), "x").await?;
    for name in ["nothing", "content", "deep/er/nothing"] {
        equal(name, client.walk_paths(&client.at(name), "").await?, Vec::new())?;
    }
    Ok(())
}

async fn tells_what_stat_tells(client: Client) -> Outcome {
    fill(&client).await?;
    let walked = client.walk(client.root(), "").await?.into_iter().flat_map(|message| message.entries);
    let listed = client.list(client.root(), "", 0).await?.entries.into_iter();
    let listed = listed.map(|entry| (client.at(&entry.name), entry.info));
    for (path, info) in walked.map(|entry| (entry.path, entry.info)).chain(listed) {
        let (told, info) = (client.stat(&path).await?, info.unwrap_or_default());
        let without_version = Info { version: told.version.clone(), ..info.clone() };
        equal(&path, without_version, told.clone())?;
        ensure(info.version.is_empty() || info.version == told.version, || format!("{path}: another version"))?;
    }
    Ok(())
}
