//! Write sessions that are had as files and written by their holders: clauses X9 to X11.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use storagedriver_proto::v1alpha1::storage_error::Reason;
use tokio::time::timeout;

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, ensure, equal, not_offered, refused, refused_as, same_bytes};
use crate::launch::Launch;
use crate::packets::Asker;
use crate::process::Driver;

cases! { "files":
    Quick Writing [X3 X9 X10 O1] "What is written into the file of a session is what Commit publishes, once the file is closed." => are_committed,
    Quick Writing [C1 X1] "A driver that does not declare `write_descriptors` hands no file of a session out." => undeclared,
    Quick Writing [C1 X9] "A store that is shared does not declare `write_descriptors`." => never_shared,
    Quick Writing [X9 W1] "A session is continued as a file where another file left off, and cut there." => continued,
    Quick Writing [X10 W1] "A session goes on in its file and over a stream, whichever was before." => both_ways,
    Quick Writing [X9 W1 N2] "An offset beyond what is persisted, no session and no path are refused as Write refuses them." => refused_as_write,
    Quick Writing [X9 W2] "The file of a session fences the stream that wrote it before." => fences_streams,
    Quick Writing [X11 O2 X4] "While somebody can write to the file, its session is not committed, and stays." => commit_waits,
    Quick Writing [X11 M1 X4] "While somebody can write to the file, its session is not moved." => move_waits,
    Quick Writing [X11 W2] "While somebody can write to the file, its session is not opened at an offset, neither way." => open_waits,
    Quick Writing [X11 W1 W2] "A session that is started over is another file than the one held." => started_over,
    Quick Writing [X11 D2] "A session that is deleted leaves its file to the holder." => deleted,
    process Quick Durable [X10 X11 W5] "What was written into the file outlives the driver, and the next one waits for the holder too." => killed,
}

const SIZE: usize = 300_000;

/// Who asks for the files of sessions, where they are offered.
async fn asker(client: &Client) -> Outcome<Asker> {
    if !client.capabilities().write_descriptors {
        return not_offered("files of write sessions");
    }
    Asker::at(client).await
}

/// The file of a new session, with the first `size` bytes of [`content`].
async fn begun(asker: &Asker, staging: &str, size: usize) -> Outcome<File> {
    let file = asker.opened(staging, 0).await?;
    file.write_all_at(&content(1, size), 0)?;
    Ok(file)
}

async fn holds(client: &Client, path: &str, what: &str, wanted: &[u8]) -> Outcome {
    same_bytes(what, &client.read(path, 0, None).await?.1, wanted)
}

async fn are_committed(client: Client) -> Outcome {
    let (asker, staging) = (asker(&client).await?, client.at("staging"));
    for size in [0, 1, 4096, SIZE, (5 << 20) + 3] {
        let target = client.at(&format!("target-{size}"));
        // At positions, in any order: the last bytes first.
        let (file, wanted) = (asker.opened(&staging, 0).await?, content(size as u64, size));
        let half = size / 2;
        file.write_all_at(&wanted[half..], half as u64)?;
        file.write_all_at(&wanted[..half], 0)?;
        refused("Stat of the target before Commit", client.stat(&target).await, Reason::NotFound)?;
        file.sync_data()?;
        drop(file);
        let info = client.commit(&staging, &target, size as u64).await?;
        equal("the size of what was committed", info.size, size as u64)?;
        holds(&client, &target, "what was written into the file", &wanted).await?;
    }
    Ok(())
}

async fn undeclared(client: Client) -> Outcome {
    if client.capabilities().write_descriptors {
        return not_offered("a store without files of write sessions");
    }
    let staging = client.at("staging");
    // Where there is no socket, or one that is ignored, nothing is handed out either.
    let Ok(asker) = Asker::connect(client.descriptor_socket(), client.journal()).await else { return Ok(()) };
    match timeout(Duration::from_secs(1), asker.open(&staging, 0)).await {
        Ok(answer) => {
            refused_as("the file of a session", answer?, &[Reason::Unsupported, Reason::PathInvalid, Reason::ReadOnly])
                .map(drop)
        }
        Err(_ignored) => Ok(()),
    }
}

async fn never_shared(client: Client) -> Outcome {
    let told = client.capabilities();
    ensure(!(told.shared && told.write_descriptors), || "a shared store declares `write_descriptors`".to_owned())
}

async fn continued(client: Client) -> Outcome {
    let (asker, staging, target) = (asker(&client).await?, client.at("staging"), client.at("a"));
    drop(begun(&asker, &staging, SIZE).await?);
    let cut = SIZE / 3;
    let file = asker.opened(&staging, cut as u64).await?;
    file.write_all_at(&content(2, SIZE), cut as u64)?;
    drop(file);
    client.commit(&staging, &target, (cut + SIZE) as u64).await?;
    let wanted = [&content(1, SIZE)[..cut], &content(2, SIZE)].concat();
    holds(&client, &target, "what was written into two files of one session", &wanted).await
}

async fn both_ways(client: Client) -> Outcome {
    let (asker, staging, target) = (asker(&client).await?, client.at("staging"), client.at("a"));
    let wanted = content(1, 3 * SIZE);
    let mut stream = client.stage(&staging, &wanted[..SIZE]).await?;
    let file = asker.opened(&staging, SIZE as u64).await?;
    file.write_all_at(&wanted[SIZE..2 * SIZE], SIZE as u64)?;
    drop(file);
    refused("the stream before the file", stream.ended().await, Reason::Fenced)?;
    stream = client.open(&staging, 2 * SIZE as u64).await?;
    stream.data(&wanted[2 * SIZE..]).await;
    equal("what is persisted of all", stream.flush().await?, 3 * SIZE as u64)?;
    client.commit(&staging, &target, 3 * SIZE as u64).await?;
    holds(&client, &target, "what was written both ways", &wanted).await
}

async fn refused_as_write(client: Client) -> Outcome {
    let (asker, staging) = (asker(&client).await?, client.at("staging"));
    asker.open_refused(&staging, 5, Reason::NotFound).await?;
    drop(begun(&asker, &staging, SIZE).await?);
    let error = asker.open_refused(&staging, SIZE as u64 + 1, Reason::OffsetInvalid).await?;
    equal("`persisted` of the refusal", error.persisted, SIZE as u64)?;
    for path in ["", "/", "a", &format!("{}/../a", client.root())] {
        asker.open_refused(path, 0, Reason::PathInvalid).await?;
    }
    client.commit(&staging, &client.at("a"), SIZE as u64).await?;
    asker.open_refused(&staging, SIZE as u64, Reason::NotFound).await.map(drop)
}

async fn fences_streams(client: Client) -> Outcome {
    let (asker, staging, target) = (asker(&client).await?, client.at("staging"), client.at("a"));
    let wanted = content(1, SIZE);
    for offset in [SIZE / 2, 0] {
        let mut older = client.stage(&staging, &wanted[..SIZE / 2]).await?;
        let file = asker.opened(&staging, offset as u64).await?;
        older.data(&content(2, SIZE)).await;
        refused("the stream that wrote before", older.ended().await, Reason::Fenced)?;
        file.write_all_at(&wanted[offset..], offset as u64)?;
        drop(file);
        client.commit(&staging, &target, SIZE as u64).await?;
        holds(&client, &target, "what the fenced stream left alone", &wanted).await?;
        client.delete(&target, false).await?;
    }
    Ok(())
}

async fn commit_waits(client: Client) -> Outcome {
    let (asker, staging, target) = (asker(&client).await?, client.at("staging"), client.at("a"));
    let (wanted, size) = (content(1, SIZE), SIZE as u64);
    let file = begun(&asker, &staging, SIZE).await?;
    waits("Commit of a file that is open", client.commit(&staging, &target, size).await)?;
    // It is the file that counts, not who asked for it.
    let copy = file.try_clone()?;
    drop(file);
    waits("Commit of a file that is open once more", client.commit(&staging, &target, size).await)?;
    refused("Stat of the target meanwhile", client.stat(&target).await, Reason::NotFound)?;
    drop(copy);
    client.commit(&staging, &target, size).await?;
    holds(&client, &target, "what was committed once the file was closed", &wanted).await
}

async fn move_waits(client: Client) -> Outcome {
    let (asker, staging, target) = (asker(&client).await?, client.at("staging"), client.at("a"));
    let file = begun(&asker, &staging, SIZE).await?;
    // What is staged need not show at its path.
    let moved = client.rename(&staging, &target).await;
    refused_as("Move of a file that is open", moved, &[Reason::Unavailable, Reason::NotFound])?;
    refused("Stat of the target meanwhile", client.stat(&target).await, Reason::NotFound)?;
    drop(file);
    client.commit(&staging, &target, SIZE as u64).await?;
    holds(&client, &target, "what was committed after the Move that was refused", &content(1, SIZE)).await
}

async fn open_waits(client: Client) -> Outcome {
    let (asker, staging, target) = (asker(&client).await?, client.at("staging"), client.at("a"));
    let (wanted, cut) = (content(1, SIZE), SIZE as u64 / 2);
    let file = begun(&asker, &staging, SIZE).await?;
    waits("a stream over a file that is open", client.open(&staging, cut).await)?;
    let error = asker.open_refused(&staging, cut, Reason::Unavailable).await?;
    equal("`may_have_happened` of an `open` that waits", error.may_have_happened, false)?;
    equal("the size of the file after both", file.metadata()?.len(), SIZE as u64)?;
    drop(file);
    let mut stream = client.open(&staging, cut).await?;
    stream.data(&wanted[cut as usize..]).await;
    stream.flush().await?;
    client.commit(&staging, &target, SIZE as u64).await?;
    holds(&client, &target, "what was written once the file was closed", &wanted).await
}

async fn started_over(client: Client) -> Outcome {
    let (asker, staging, target) = (asker(&client).await?, client.at("staging"), client.at("a"));
    let wanted = content(2, SIZE);
    for by_stream in [true, false] {
        let held = begun(&asker, &staging, SIZE).await?;
        if by_stream {
            client.stage(&staging, &wanted).await?;
        } else {
            asker.opened(&staging, 0).await?.write_all_at(&wanted, 0)?;
        }
        held.write_all_at(&content(3, 2 * SIZE), 0)?;
        client.commit(&staging, &target, SIZE as u64).await?;
        held.write_all_at(&content(4, SIZE), 0)?;
        holds(&client, &target, "what was committed while an older file is open", &wanted).await?;
        client.delete(&target, false).await?;
    }
    Ok(())
}

async fn deleted(client: Client) -> Outcome {
    let (asker, staging, target) = (asker(&client).await?, client.at("p/staging"), client.at("a"));
    for recursive in [false, true] {
        let held = begun(&asker, &staging, SIZE).await?;
        let doomed = if recursive { client.at("p") } else { staging.clone() };
        client.delete(&doomed, recursive).await?;
        held.write_all_at(&content(2, SIZE), 0)?;
        refused("Commit of what was deleted", client.commit(&staging, &target, SIZE as u64).await, Reason::NotFound)?;
        asker.open_refused(&staging, SIZE as u64, Reason::NotFound).await?;
        refused("Stat of what was deleted", client.stat(&staging).await, Reason::NotFound)?;
    }
    Ok(())
}

async fn killed(launch: Launch) -> Outcome {
    let mut driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let (staging, target, wanted) = (client.at("staging"), client.at("a"), content(1, SIZE));
    let file = begun(&asker(&client).await?, &staging, SIZE / 2).await?;
    driver.kill().await?;
    file.write_all_at(&wanted[SIZE / 2..], SIZE as u64 / 2)?;
    driver.replace().await?;
    let client = driver.configured().await?;
    let next = asker(&client).await?;
    waits("Commit by the next driver", client.commit(&staging, &target, SIZE as u64).await)?;
    next.open_refused(&staging, 1, Reason::Unavailable).await?;
    drop(file);
    drop(next.opened(&staging, SIZE as u64).await?);
    client.commit(&staging, &target, SIZE as u64).await?;
    holds(&client, &target, "what was written before and after the death of the driver", &wanted).await
}

/// The call is refused because somebody has the file open.
fn waits<T>(what: &str, result: Result<T, tonic::Status>) -> Outcome {
    let error = refused(what, result, Reason::Unavailable)?;
    equal(&format!("{what}: `may_have_happened`"), error.may_have_happened, false)
}
