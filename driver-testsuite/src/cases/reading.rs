//! Read: ranges, versions, and streams that nobody reads on.

use std::time::Duration;

use bytes::Bytes;
use storagedriver_proto::limits::CHUNK_MAX;
use storagedriver_proto::v1alpha1::ReadRequest;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, ensure, equal, refused, same_bytes};

cases! { "reading":
    Quick Writing [R1] "Read gives exactly the range." => read_gives_exactly_the_range,
    Quick Writing [R1] "The first message alone has info." => the_first_message_alone_has_info,
    Quick Writing [R2] "An offset at the end gives nothing and beyond it is refused." => an_offset_at_the_end_gives_nothing_and_beyond_it_is_refused,
    Quick Writing [R3] "Another version is refused." => another_version_is_refused,
    Quick Writing [R4] "Read refuses what is no content." => read_refuses_what_is_no_content,
    Quick Writing [G4] "A read goes on with the content it began." => a_read_goes_on_with_the_content_it_began,
    Quick Writing [G9] "Streams that nobody reads hold up no call." => streams_that_nobody_reads_hold_up_no_call,
}

const SIZE: usize = 3_000_000;

fn request(path: String) -> ReadRequest {
    ReadRequest { path, ..Default::default() }
}

async fn read_gives_exactly_the_range(client: Client) -> Outcome {
    let wanted = content(1, SIZE);
    client.store("a", &wanted).await?;
    client.put(&client.at("empty"), Bytes::new()).await?;
    equal("empty content", client.read(&client.at("empty"), 0, None).await?.1, Vec::new())?;
    let size = SIZE as u64;
    let rows = [
        (0, None),
        (0, Some(0)),
        (0, Some(1)),
        (1, Some(262_144)),
        (262_143, Some(2)),
        (size - 1, None),
        (size - 1, Some(u64::MAX)),
        (5, Some(size - 5)),
        (1_048_576, None),
    ];
    for (offset, length) in rows {
        let (info, seen) = client.read(&client.at("a"), offset, length).await?;
        let end = length.map_or(size, |length| offset.saturating_add(length).min(size));
        same_bytes(&format!("{offset} {length:?}"), &seen, &wanted[offset as usize..end as usize])?;
        equal("the size in info", info.size, size)?;
    }
    Ok(())
}

async fn the_first_message_alone_has_info(client: Client) -> Outcome {
    client.store("a", &content(2, SIZE)).await?;
    let mut messages = client.open_read(request(client.at("a"))).await?;
    let first = messages.message().await?.unwrap_or_default();
    equal("the info", first.info, Some(client.stat(&client.at("a")).await?))?;
    let mut sizes = vec![first.data.len()];
    while let Some(message) = messages.message().await? {
        equal("info in a later message", message.info, None)?;
        sizes.push(message.data.len());
    }
    ensure(sizes.iter().all(|size| *size <= CHUNK_MAX), || format!("messages of {sizes:?} bytes"))?;
    equal("the bytes of all messages", sizes.iter().sum(), SIZE)
}

async fn an_offset_at_the_end_gives_nothing_and_beyond_it_is_refused(client: Client) -> Outcome {
    let path = client.at("a");
    client.put(&path, "12345").await?;
    for length in [None, Some(0), Some(7)] {
        let (info, seen) = client.read(&path, 5, length).await?;
        equal("a read at the end", (info.size, seen.len()), (5, 0))?;
    }
    for (offset, length) in [(6, None), (u64::MAX, Some(1))] {
        let error = refused("a read beyond", client.read(&path, offset, length).await, Reason::OffsetInvalid)?;
        equal("persisted", error.persisted, 5)?;
    }
    Ok(())
}

async fn another_version_is_refused(client: Client) -> Outcome {
    let path = client.at("a");
    let old = client.put(&path, "old").await?.version;
    let new = client.put(&path, "new").await?.version;
    let of = |if_version: String| client.open_read(ReadRequest { if_version, ..request(path.clone()) });
    let mut messages = of(new).await?;
    equal("the first message", messages.message().await?.is_some(), true)?;
    let result = async { of(old).await?.message().await }.await;
    refused("a read of the old version", result, Reason::VersionMismatch).map(drop)
}

async fn read_refuses_what_is_no_content(client: Client) -> Outcome {
    client.put(&client.at("p/a"), "content").await?;
    for name in ["p", "nothing", "p/a/b"] {
        refused(name, client.read(&client.at(name), 0, None).await, Reason::NotFound)?;
    }
    Ok(())
}

async fn a_read_goes_on_with_the_content_it_began(client: Client) -> Outcome {
    let (old, new) = (content(3, 4 * SIZE), content(4, SIZE));
    for how in ["replaced", "deleted"] {
        client.store(how, &old).await?;
        let mut messages = client.open_read(request(client.at(how))).await?;
        let mut seen = messages.message().await?.unwrap_or_default().data.to_vec();
        match how {
            "replaced" => drop(client.store(how, &new).await?),
            _ => client.delete(&client.at(how), false).await?,
        }
        let ended = loop {
            match messages.message().await {
                Ok(Some(message)) => seen.extend_from_slice(&message.data),
                Ok(None) => break Ok(()),
                Err(status) => break Err(status),
            }
        };
        let wanted = if ended.is_ok() { &old[..] } else { &old[..seen.len().min(old.len())] };
        same_bytes(&format!("a read of content that is {how}"), &seen, wanted)?;
    }
    Ok(())
}

async fn streams_that_nobody_reads_hold_up_no_call(client: Client) -> Outcome {
    client.store("a", &content(5, SIZE)).await?;
    let mut unread = Vec::new();
    for _ in 0..32 {
        unread.push(client.open_read(request(client.at("a"))).await?);
    }
    let stat = tokio::time::timeout(Duration::from_secs(5), client.stat(&client.at("a"))).await;
    ensure(matches!(stat, Ok(Ok(_))), || format!("Stat beside unread streams: {stat:?}"))?;
    let last = unread.pop();
    drop(unread);
    let Some(mut messages) = last else { return Ok(()) };
    let mut size = 0;
    while let Some(message) = messages.message().await? {
        size += message.data.len();
    }
    equal("the bytes of a stream that was left unread", size, SIZE)
}
