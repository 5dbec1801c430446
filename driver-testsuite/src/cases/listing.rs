//! List and Walk: order, pages, and completeness.

use futures::{StreamExt, TryStreamExt, stream};
use storagedriver_proto::Path;
use storagedriver_proto::limits::PAGE_MAX;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tonic::Status;

use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, ensure, equal, refused};

cases! { "listing":
    Quick Writing [I1] "A listing is ordered and complete for any page size." => a_listing_is_ordered_and_complete_for_any_page_size,
    Quick Writing [I1] "Start after need not exist." => start_after_need_not_exist,
    Quick Writing [I1] "A page is clipped to a thousand." => a_page_is_clipped_to_a_thousand,
    Quick Writing [I3] "Nothing lists as nothing." => nothing_lists_as_nothing,
    Quick Writing [A1] "A walk goes depth first in order of components." => a_walk_goes_depth_first_in_order_of_components,
    Quick Writing [A1] "A walk continues after any path." => a_walk_continues_after_any_path,
    Quick Writing [A2] "A walk of nothing is empty." => a_walk_of_nothing_is_empty,
    Quick Writing [I1] "Listings tell what stat tells." => listings_tell_what_stat_tells,
}

/// Content whose order by bytes, by component and by length all differ.
const NAMES: [&str; 9] = ["A", "a-b/y", "a.b", "a/x", "a/x-", "a0", "ab/c/d", "b/0/0", "b/00"];

async fn fill(client: &Client) -> Outcome {
    for name in NAMES {
        client.put(&client.at(name), name).await?;
    }
    Ok(())
}

async fn pages(client: &Client, path: &str, start_after: &str, limit: u32) -> Result<Vec<(String, bool)>, Status> {
    let mut names = Vec::new();
    let mut after = start_after.to_owned();
    loop {
        let page = client.list(path, &after, limit).await?;
        let infos = page.entries.iter().map(|entry| entry.info.as_ref().is_some_and(|info| info.is_prefix));
        names.extend(page.entries.iter().map(|entry| entry.name.clone()).zip(infos));
        match names.last() {
            Some((last, _)) if page.more && !page.entries.is_empty() => after.clone_from(last),
            _ => return Ok(names),
        }
    }
}

async fn a_listing_is_ordered_and_complete_for_any_page_size(client: Client) -> Outcome {
    fill(&client).await?;
    let wanted = [("A", false), ("a", true), ("a-b", true), ("a.b", false), ("a0", false), ("ab", true), ("b", true)];
    let wanted: Vec<(String, bool)> = wanted.map(|(name, is_prefix)| (name.to_owned(), is_prefix)).into();
    for limit in [0, 1, 2, 3, 6, 7, 8, 1000, u32::MAX] {
        equal(&format!("pages of {limit}"), pages(&client, client.root(), "", limit).await?, wanted.clone())?;
    }
    equal("more after the last name", client.list(client.root(), "", 7).await?.more, false)?;
    equal("more before the last name", client.list(client.root(), "", 6).await?.more, true)
}

async fn start_after_need_not_exist(client: Client) -> Outcome {
    fill(&client).await?;
    let rows = [("0", "A"), ("A", "a"), ("B", "a"), ("a", "a-b"), ("a-", "a-b"), ("a-b", "a.b"), ("a1", "ab")];
    for (start_after, first) in rows {
        let page = client.list(client.root(), start_after, 1).await?;
        equal(start_after, page.entries.first().map(|entry| entry.name.as_str()), Some(first))?;
    }
    equal("after the last", client.list(client.root(), "b", 0).await?.entries.len(), 0)?;
    refused("after no name", client.list(client.root(), "a/x", 0).await, Reason::PathInvalid).map(drop)
}

async fn a_page_is_clipped_to_a_thousand(client: Client) -> Outcome {
    let wanted: Vec<String> = (0..PAGE_MAX + 50).map(|number| format!("{number:05}")).collect();
    let puts = stream::iter(wanted.clone()).map(async |name| client.put(&client.at(&name), name).await);
    puts.buffer_unordered(32).try_for_each(|_| async { Ok(()) }).await?;
    for limit in [0, u32::MAX] {
        let page = client.list(client.root(), "", limit).await?;
        equal("the length of a page", (page.entries.len(), page.more), (PAGE_MAX, true))?;
    }
    let messages = client.walk(client.root(), "").await?;
    ensure(messages.iter().all(|message| message.entries.len() <= PAGE_MAX), || "a long Walk message".to_owned())?;
    let walked = messages.into_iter().flat_map(|message| message.entries).map(|entry| entry.path);
    equal("a walk over pages", walked.collect(), wanted.iter().map(|name| client.at(name)).collect::<Vec<_>>())
}

async fn nothing_lists_as_nothing(client: Client) -> Outcome {
    client.put(&client.at("content"), "x").await?;
    for name in ["nothing", "content", "content/below"] {
        let page = client.list(&client.at(name), "", 0).await?;
        equal(name, (page.entries.len(), page.more), (0, false))?;
    }
    Ok(())
}

async fn walked(client: &Client, path: &str, start_after: &str) -> Result<Vec<String>, Status> {
    let messages = client.walk(path, start_after).await?;
    Ok(messages.into_iter().flat_map(|message| message.entries).map(|entry| entry.path).collect())
}

/// The names in the order of a walk.
fn in_order(client: &Client) -> Vec<String> {
    let mut paths: Vec<Path> = NAMES.iter().filter_map(|name| Path::parse(&client.at(name)).ok()).collect();
    paths.sort();
    paths.iter().map(ToString::to_string).collect()
}

async fn a_walk_goes_depth_first_in_order_of_components(client: Client) -> Outcome {
    fill(&client).await?;
    equal("the walk", walked(&client, client.root(), "").await?, in_order(&client))?;
    let below = ["a/x", "a/x-"].map(|name| client.at(name));
    equal("the walk of a subtree", walked(&client, &client.at("a"), "").await?, below.to_vec())
}

async fn a_walk_continues_after_any_path(client: Client) -> Outcome {
    fill(&client).await?;
    let all = in_order(&client);
    let missing = ["0", "a", "a/w", "a/x/z", "a/y", "a-", "a-b/z/z", "ab/c", "ab/c/d/e", "b/0", "b/0/1", "z"];
    let missing = missing.map(|name| client.at(name));
    for start in all.iter().chain(&missing) {
        let Ok(after) = Path::parse(start) else { continue };
        let wanted = all.iter().filter(|path| Path::parse(path).is_ok_and(|path| path > after)).cloned().collect();
        equal(&format!("the walk after {start}"), walked(&client, client.root(), start).await?, wanted)?;
    }
    Ok(())
}

async fn a_walk_of_nothing_is_empty(client: Client) -> Outcome {
    client.put(&client.at("content"), "x").await?;
    for name in ["nothing", "content"] {
        equal(name, walked(&client, &client.at(name), "").await?, Vec::new())?;
    }
    Ok(())
}

async fn listings_tell_what_stat_tells(client: Client) -> Outcome {
    fill(&client).await?;
    let walked = client.walk(client.root(), "").await?.into_iter().flat_map(|message| message.entries);
    let listed = client.list(client.root(), "", 0).await?.entries.into_iter();
    let listed = listed.map(|entry| (client.at(&entry.name), entry.info));
    for (path, info) in walked.map(|entry| (entry.path, entry.info)).chain(listed) {
        let (told, info) = (client.stat(&path).await?, info.unwrap_or_default());
        equal(&path, (info.size, info.is_prefix, info.modified), (told.size, told.is_prefix, told.modified))?;
        ensure(info.version.is_empty() || info.version == told.version, || format!("{path}: another version"))?;
    }
    Ok(())
}
