//! Read: ranges, versions, and streams that nobody reads on.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use rand::Rng;
use storagedriver_proto::limits::CHUNK_MAX;
use storagedriver_proto::v1alpha1::storage_error::Reason;
use storagedriver_proto::v1alpha1::{ReadRequest, ReadResponse};

use crate::block::content;
use crate::case::cases;
use crate::client::{Client, Reply};
use crate::expect::{Outcome, ensure, equal, refused, same_bytes};
use crate::stream::Messages;

cases! { "reading":
    Quick Writing [R1] "OK comes after exactly `length` bytes, or at the end of the content when that is sooner." => ranges,
    Quick Writing [R1] "The first message alone carries info, of the whole content; no message is over 1 MiB." => messages,
    Quick Writing [R2] "An offset equal to the size gives info and no data; beyond it is OFFSET_INVALID with the size."
        => offsets,
    Quick Writing [R3] "Another version than `if_version` is VERSION_MISMATCH before any data." => if_version,
    Quick Writing [R4] "Read of nothing and of a prefix is NOT_FOUND, at any offset." => nothing_refused,
    Quick Writing [R4 G4] "Content replaced or deleted during a Read: the old bytes to the end, or an error." => replaced,
    Quick Writing [R1 R3] "A stream that was broken continues with the offset reached and `if_version`." => continued,
    Quick Writing [G9 R1] "Any number of ranges of one content can be read at once." => in_parallel,
    Quick Writing [G9] "Streams that nobody reads hold up no call." => unread,
    Full Writing [R1 G4] "A driver never gives up on a slow reader." => slow_reader,
    Full Writing [G4] "Readers of a content that is replaced all the time never see a mixture." => no_mixture,
    Long Writing [R1 O1 W1] "Offsets beyond 4 GiB are offsets like any other." => beyond_four_gib,
}

const SIZE: usize = 3_000_000;

fn request(path: String) -> ReadRequest {
    ReadRequest { path, ..Default::default() }
}

async fn ranges(client: Client) -> Outcome {
    let wanted = content(1, SIZE);
    client.store("a", &wanted).await?;
    client.put(&client.at("empty"), Bytes::new()).await?;
    equal("empty content", client.read(&client.at("empty"), 0, None).await?.1, Vec::new())?;
    let size = SIZE as u64;
    let mut rows = vec![
        (0, None),
        (0, Some(0)),
        (0, Some(1)),
        (1, Some(262_144)),
        (262_143, Some(2)),
        (size - 1, None),
        (size - 1, Some(u64::MAX)),
        (5, Some(size - 5)),
        (5, Some(size - 4)),
        (1_048_576, None),
    ];
    let mut random = client.random();
    rows.extend((0..20).map(|_| (random.random_range(0..size), Some(random.random_range(0..size)))));
    for (offset, length) in rows {
        let (info, seen) = client.read(&client.at("a"), offset, length).await?;
        let end = length.map_or(size, |length| offset.saturating_add(length).min(size));
        same_bytes(&format!("{offset} {length:?}"), &seen, &wanted[offset as usize..end as usize])?;
        equal("the size in info", info.size, size)?;
    }
    Ok(())
}

async fn messages(client: Client) -> Outcome {
    client.store("a", &content(2, SIZE)).await?;
    for (offset, length) in [(0, None), (1000, Some(2_000_000))] {
        let mut messages = client.open_read(ReadRequest { offset, length, ..request(client.at("a")) }).await?;
        let first = messages.message().await?.unwrap_or_default();
        equal("the info", first.info, Some(client.stat(&client.at("a")).await?))?;
        let mut sizes = vec![first.data.len()];
        while let Some(message) = messages.message().await? {
            equal("info in a later message", message.info, None)?;
            sizes.push(message.data.len());
        }
        ensure(sizes.iter().all(|size| *size <= CHUNK_MAX), || format!("messages of {sizes:?} bytes"))?;
        equal("the bytes of all messages", sizes.iter().sum(), length.map_or(SIZE, |length| length as usize))?;
    }
    Ok(())
}

async fn offsets(client: Client) -> Outcome {
    let path = client.at("a");
    client.put(&path, "12345").await?;
    for length in [None, Some(0), Some(7)] {
        let (info, seen) = client.read(&path, 5, length).await?;
        equal("a Read at the end", (info.size, seen.len()), (5, 0))?;
    }
    for (offset, length) in [(6, None), (6, Some(0)), (1 << 63, None), (u64::MAX, Some(1)), (u64::MAX, None)] {
        let error = refused("a Read beyond", client.read(&path, offset, length).await, Reason::OffsetInvalid)?;
        equal("persisted", error.persisted, 5)?;
    }
    Ok(())
}

/// The first data of a Read, which may come after a message with info alone.
async fn first_data(client: &Client, request: ReadRequest) -> Reply<Bytes> {
    let mut messages = client.open_read(request).await?;
    while let Some(message) = messages.message().await? {
        if !message.data.is_empty() {
            return Ok(message.data);
        }
    }
    Ok(Bytes::new())
}

async fn if_version(client: Client) -> Outcome {
    let path = client.at("a");
    let old = client.put(&path, "old").await?.version;
    let new = client.put(&path, "new").await?.version;
    let of = |if_version: String| ReadRequest { if_version, ..request(path.clone()) };
    equal("the bytes of the version that is there", first_data(&client, of(new)).await?, "new".into())?;
    for other in [old, "no version".to_owned()] {
        refused("a Read of another version", first_data(&client, of(other)).await, Reason::VersionMismatch)?;
    }
    Ok(())
}

async fn nothing_refused(client: Client) -> Outcome {
    client.put(&client.at("p/a"), "content").await?;
    for name in ["p", "nothing", "p/a/b"] {
        for offset in [0, 1] {
            refused(name, client.read(&client.at(name), offset, None).await, Reason::NotFound)?;
        }
    }
    Ok(())
}

/// The rest of a stream, and how it ended.
async fn rest(messages: &mut Messages<ReadResponse>, seen: &mut Vec<u8>) -> Reply<()> {
    while let Some(message) = messages.message().await? {
        seen.extend_from_slice(&message.data);
    }
    Ok(())
}

async fn replaced(client: Client) -> Outcome {
    // More than the windows of a stream hold, so that the driver has not sent all of it when it is told to change.
    let (old, new) = (content(3, SIZE), content(4, SIZE / 2));
    for how in ["replaced", "deleted", "put-anew", "moved-over"] {
        client.store(how, &old).await?;
        let mut messages = client.open_read(request(client.at(how))).await?;
        let mut seen = messages.message().await?.unwrap_or_default().data.to_vec();
        match how {
            "replaced" => drop(client.store(how, &new).await?),
            "deleted" => client.delete(&client.at(how), false).await?,
            "put-anew" => {
                client.delete(&client.at(how), false).await?;
                client.put(&client.at(how), "another").await?;
            }
            _ => {
                client.put(&client.at("s"), "small").await?;
                client.rename(&client.at("s"), &client.at(how)).await?;
            }
        }
        let ended = rest(&mut messages, &mut seen).await;
        let wanted = if ended.is_ok() { &old[..] } else { &old[..seen.len().min(old.len())] };
        same_bytes(&format!("a Read of content that is {how}"), &seen, wanted)?;
    }
    Ok(())
}

async fn continued(client: Client) -> Outcome {
    let wanted = content(5, SIZE);
    client.store("a", &wanted).await?;
    let mut random = client.random();
    let (mut seen, mut version) = (Vec::new(), String::new());
    while seen.len() < wanted.len() {
        let request = ReadRequest { offset: seen.len() as u64, if_version: version, ..request(client.at("a")) };
        let mut messages = client.open_read(request).await?;
        let first = messages.message().await?.unwrap_or_default();
        version = first.info.unwrap_or_default().version;
        let mut piece = first.data.to_vec();
        for _ in 0..random.random_range(1..3) {
            piece.extend_from_slice(&messages.message().await?.unwrap_or_default().data);
        }
        // Where a line breaks is no boundary of a message.
        let kept = random.random_range(piece.len().min(1)..=piece.len());
        ensure(kept > 0, || format!("no data at {} of {}", seen.len(), wanted.len()))?;
        seen.extend_from_slice(&piece[..kept]);
    }
    same_bytes("the pieces", &seen, &wanted)
}

async fn in_parallel(client: Client) -> Outcome {
    let wanted = content(6, SIZE);
    client.store("a", &wanted).await?;
    let path = client.at("a");
    let step = SIZE / 64;
    let reads = (0..64).map(|part| client.read(&path, (part * step) as u64, Some(step as u64)));
    for (part, read) in join_all(reads).await.into_iter().enumerate() {
        same_bytes(&format!("part {part}"), &read?.1, &wanted[part * step..(part + 1) * step])?;
    }
    Ok(())
}

async fn unread(client: Client) -> Outcome {
    client.store("a", &content(7, SIZE)).await?;
    let mut unread = Vec::new();
    for _ in 0..40 {
        unread.push(client.open_read(request(client.at("a"))).await?);
    }
    let calls = async {
        client.stat(&client.at("a")).await?;
        client.put(&client.at("b"), "content").await?;
        client.store("a", b"replaced").await
    };
    let called = tokio::time::timeout(Duration::from_secs(5), calls).await;
    ensure(matches!(called, Ok(Ok(_))), || format!("calls beside unread streams: {called:?}"))?;
    let Some(mut last) = unread.pop() else { return Ok(()) };
    drop(unread);
    let mut seen = Vec::new();
    rest(&mut last, &mut seen).await?;
    same_bytes("a stream that was left unread", &seen, &content(7, SIZE))
}

async fn slow_reader(client: Client) -> Outcome {
    let wanted = content(8, SIZE);
    client.store("a", &wanted).await?;
    let mut messages = client.open_read(request(client.at("a"))).await?;
    let mut seen = Vec::new();
    for rest in [1, 5, 1] {
        tokio::time::sleep(Duration::from_secs(rest)).await;
        seen.extend_from_slice(&messages.message().await?.unwrap_or_default().data);
    }
    rest(&mut messages, &mut seen).await?;
    same_bytes("a content that was read slowly", &seen, &wanted)
}

async fn no_mixture(client: Client) -> Outcome {
    let contents: Vec<Bytes> = (10..14).map(|number| content(number, SIZE - 1000 * number as usize)).collect();
    client.store("a", &contents[0]).await?;
    let writing = async {
        for round in 0..24 {
            client.store("a", &contents[round % contents.len()]).await?;
        }
        Ok::<_, tonic::Status>(())
    };
    let reading = async {
        for _ in 0..24 {
            // A driver may break a Read off whose content went; it may never mix.
            let Ok((info, seen)) = client.read(&client.at("a"), 0, None).await else { continue };
            ensure(contents.iter().any(|content| content == &seen), || format!("a mixture of {} bytes", seen.len()))?;
            equal("the size in info", info.size, seen.len() as u64)?;
        }
        Outcome::Ok(())
    };
    let (written, read) = tokio::join!(writing, reading);
    written?;
    read
}

async fn beyond_four_gib(client: Client) -> Outcome {
    const PIECE: usize = 64 << 20;
    const PIECES: u64 = 65;
    let (staging, target) = (client.at("staging"), client.at("target"));
    let mut session = client.open(&staging, 0).await?;
    for piece in 0..PIECES {
        session.data(&content(piece, PIECE)).await;
        equal("persisted", session.flush().await?, (piece + 1) * PIECE as u64)?;
    }
    client.commit(&staging, &target, PIECES * PIECE as u64).await?;
    drop(session);
    for piece in [0, 63, 64] {
        let (info, seen) = client.read(&target, piece * PIECE as u64, Some(PIECE as u64)).await?;
        equal("the size", info.size, PIECES * PIECE as u64)?;
        same_bytes(&format!("piece {piece}"), &seen, &content(piece, PIECE))?;
    }
    let across = client.read(&target, (1 << 32) - 10, Some(20)).await?.1;
    let wanted = [&content(63, PIECE)[PIECE - 10..], &content(64, 10)[..]].concat();
    same_bytes("across 4 GiB", &across, &wanted)
}
