//! What is seen when somebody reaches into a driver's folder: it keeps what is inside in, and knows what was damaged.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use storagedriver_proto::error::from_status;
use storagedriver_proto::v1alpha1::storage_error::Reason;

use crate::block::content;
use crate::case::cases;
use crate::client::Client;
use crate::expect::{Outcome, broken, ensure, equal, not_offered, refused};
use crate::launch::Launch;
use crate::process::Driver;

cases! { "backdoor":
    process Quick Writing [N6] "What a driver keeps for itself shows nowhere and collides with no path." => own_names,
    process Quick Writing [N4] "A link that leads out of the root is not followed, and nothing outside is touched." => links_out,
    process Quick Writing [R5] "Content that is shorter than its `info.size` is CORRUPT, never a short OK." => truncated,
}

/// Every file below `folder`.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => found.extend(files(&entry.path())?),
            _ => found.push(entry.path()),
        }
    }
    Ok(found)
}

/// The file in which the driver keeps exactly `bytes`, if there is one.
fn file_of(driver: &Driver, bytes: &[u8]) -> Outcome<PathBuf> {
    let Some(folder) = driver.folder() else { return not_offered("a folder of the driver that could be looked into") };
    for file in files(&folder)? {
        if fs::metadata(&file)?.len() == bytes.len() as u64 && fs::read(&file)? == bytes {
            return Ok(file);
        }
    }
    not_offered("a file that holds just the content")
}

async fn own_names(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let Some(folder) = driver.folder() else { return not_offered("a folder of the driver that could be looked into") };
    let _session = client.stage(&client.at("s"), &content(1, 100_000)).await?;
    client.put(&client.at("a"), "content").await?;
    let mut names: Vec<String> = Vec::new();
    for file in files(&folder)? {
        let below = file.strip_prefix(&folder).unwrap_or(&file).to_string_lossy().into_owned();
        names.extend(below.split('/').map(str::to_owned));
    }
    names.sort();
    names.dedup();
    for name in &names {
        for path in [format!("/{name}"), client.at(name)] {
            // Its own session is there, whether Stat tells it or not.
            if path != client.at("s") && !client.root().starts_with(&path) {
                not_hidden(&client, &path).await?;
            }
        }
    }
    equal("the content", client.get(&client.at("a")).await?.1, "content".into())?;
    client.commit(&client.at("s"), &client.at("t"), 100_000).await.map(drop).map_err(Into::into)
}

/// A path that is called like something of the driver's is a path like any other, or none at all.
async fn not_hidden(client: &Client, path: &str) -> Outcome {
    match client.stat(path).await {
        Ok(_) if path == client.at("a") => Ok(()),
        Ok(info) => broken(format!("{path} is the driver's own and shows as {info:?}")),
        Err(status) => match from_status(&status).map(|error| error.reason()) {
            Some(Reason::PathInvalid) => Ok(()),
            Some(Reason::NotFound) => {
                client.put(path, "mine").await?;
                equal("content at a name of the driver's", client.get(path).await?.1, "mine".into())?;
                client.delete(path, false).await.map_err(Into::into)
            }
            _ => broken(format!("Stat {path}: {status:?}")),
        },
    }
}

async fn links_out(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let wanted = content(2, 5000);
    client.put(&client.at("dir/a"), wanted.clone()).await?;
    let file = file_of(&driver, &wanted)?;
    let outside = tempfile::tempdir()?;
    let canary = outside.path().join("canary");
    fs::write(&canary, "outside")?;
    let beside = |name: &str| file.with_file_name(name);
    symlink(&canary, beside("leak"))?;
    symlink(outside.path(), beside("way"))?;
    let names = ["dir/leak", "dir/way/canary", "dir/way"];
    for name in names {
        let read = client.get(&client.at(name)).await;
        ensure(read.is_err(), || format!("{name} shows what is outside: {read:?}"))?;
        let read = client.read(&client.at(name), 0, None).await;
        ensure(read.is_err(), || format!("Read of {name} shows what is outside: {read:?}"))?;
    }
    let shown = client.walk_paths(client.root(), "").await?.into_iter().find(|path| path.ends_with("/way/canary"));
    equal("what Walk shows of what is outside", shown, None)?;
    let listed = client.list(&client.at("dir/way"), "", 0).await.map(|page| page.entries).unwrap_or_default();
    ensure(listed.iter().all(|entry| entry.name != "canary"), || "List shows what is outside".to_owned())?;
    // Whether a Put or a Move into a link is refused is the driver's to say: one whose paths are no folders has content of its
    // own there. What is outside stays as it is.
    for name in names {
        let _ = client.put(&client.at(name), "inside").await;
    }
    let _ = client.rename(&client.at("dir/a"), &client.at("dir/way/moved")).await;
    client.delete(&client.at("dir"), true).await?;
    equal("the names outside", fs::read_dir(outside.path())?.count(), 1)?;
    equal("what is outside", fs::read_to_string(&canary)?, "outside".to_owned())
}

async fn truncated(launch: Launch) -> Outcome {
    let driver = Driver::start(&launch).await?;
    let client = driver.configured().await?;
    let wanted = content(3, 4_000_000);
    client.store("a", &wanted).await?;
    let file = file_of(&driver, &wanted)?;
    let request = storagedriver_proto::v1alpha1::ReadRequest { path: client.at("a"), ..Default::default() };
    let mut messages = client.open_read(request).await?;
    let mut seen = messages.message().await?.unwrap_or_default().data.len();
    fs::File::options().write(true).open(&file)?.set_len(3_500_000)?;
    let ended = loop {
        match messages.message().await {
            Ok(Some(message)) => seen += message.data.len(),
            Ok(None) => break Ok(()),
            Err(status) => break Err(status),
        }
    };
    match ended {
        Ok(()) => ensure(seen == wanted.len(), || format!("OK after {seen} bytes of {}", wanted.len())),
        error => refused("a Read of a content that became shorter", error, Reason::Corrupt).map(drop),
    }
}
