//! Uploads whose bytes the registry writes itself, into the file that its driver hands out.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use bytes::Bytes;
use reqwest::StatusCode;
use rustix::process::Signal;

use crate::interruptions::{open_patch, upload_folder};
use crate::pushing::{assert_stored, begin, close, content, offset, patch_at};
use crate::support::{Registry, Setup, eventually, sha256};

const MEBIBYTE: usize = 1 << 20;
const SIZE: usize = 24 * MEBIBYTE;

/// The ways in which no file is to be had.
fn streamed() -> [Setup; 2] {
    [
        Setup::filesystem().set("driver.descriptors", "false"),
        Setup::filesystem().set("storage.filesystem.shared", "true"),
    ]
}

/// The files of the store that this registry can write to.
fn written_files(registry: &Registry) -> Vec<PathBuf> {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", registry.pid())).unwrap();
    let writes = |entry: &PathBuf| fs::symlink_metadata(entry).is_ok_and(|link| link.mode() & 0o200 != 0);
    let entries = descriptors.filter_map(|descriptor| Some(descriptor.ok()?.path())).filter(writes);
    entries
        .filter_map(|entry| fs::read_link(entry).ok())
        .filter(|file| file.starts_with(registry.setup().data()))
        .collect()
}

async fn until_closed(registry: &Registry) {
    eventually("the file is closed", async || written_files(registry).is_empty().then_some(())).await;
}

/// How many bytes a process has written to files and pipes.
fn written(pid: impl std::fmt::Display) -> usize {
    let told = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    told.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap()
}

/// Pushes `content` in every way that has a write session.
async fn push_all_ways(registry: &Registry, content: &Bytes) {
    let digest = sha256(content);
    registry.push_blob("a/b", content.clone()).await;
    let location = begin(registry, "").await;
    close(registry, &location, &digest, content.clone()).await.expect(StatusCode::CREATED);
    let location = begin(registry, "").await;
    let (sender, answer) = open_patch(registry, &location);
    for piece in content.chunks(5 * MEBIBYTE) {
        sender.send(Ok(Bytes::copy_from_slice(piece))).await.unwrap();
    }
    drop(sender);
    answer.await.unwrap().expect(StatusCode::ACCEPTED);
    close(registry, &location, &digest, "").await.expect(StatusCode::CREATED);
    assert_stored(registry, &digest, content).await;
}

#[tokio::test]
async fn the_bytes_of_a_push_do_not_pass_through_the_driver() {
    let content = content(SIZE);
    for (setup, by_driver) in [(Setup::filesystem(), false), (streamed()[0].clone(), true)] {
        let registry = setup.start().await;
        let driver = registry.driver_pid().await.as_raw_nonzero();
        let before = [written(registry.pid()), written(driver)];
        push_all_ways(&registry, &content).await;
        let [registry_wrote, driver_wrote] = [written(registry.pid()) - before[0], written(driver) - before[1]];
        let (much, little) = if by_driver { (driver_wrote, registry_wrote) } else { (registry_wrote, driver_wrote) };
        assert!(much >= 3 * SIZE, "{much} bytes were written to the store, by the driver: {by_driver}");
        assert!(by_driver || little < MEBIBYTE, "the driver wrote {little} bytes");
        assert!(written_files(&registry).is_empty());
    }
}

#[tokio::test]
async fn no_file_is_asked_for_where_others_may_write_or_none_is_wanted() {
    for setup in streamed() {
        let registry = setup.start().await;
        let location = begin(&registry, "").await;
        let (sender, answer) = open_patch(&registry, &location);
        let content = content(MEBIBYTE);
        sender.send(Ok(content.clone())).await.unwrap();
        let staged = upload_folder(&setup, &location).join("data");
        let grown = async || fs::metadata(&staged).is_ok_and(|file| file.len() > 0).then_some(());
        eventually("the upload is under way", grown).await;
        assert!(written_files(&registry).is_empty());
        drop(sender);
        answer.await.unwrap().expect(StatusCode::ACCEPTED);
        close(&registry, &location, &sha256(&content), "").await.expect(StatusCode::CREATED);
    }
}

#[tokio::test]
async fn an_upload_goes_on_while_its_driver_is_dead_or_stands_still() {
    for signal in [Signal::KILL, Signal::STOP] {
        let registry = Setup::filesystem().start().await;
        let content = content(SIZE);
        let location = begin(&registry, "").await;
        let (sender, answer) = open_patch(&registry, &location);
        sender.send(Ok(content.slice(..MEBIBYTE))).await.unwrap();
        let staged = upload_folder(registry.setup(), &location).join("data");
        let reached = async |size: usize| {
            let grown = async || fs::metadata(&staged).is_ok_and(|file| file.len() == size as u64).then_some(());
            eventually("the bytes are in the file", grown).await;
        };
        reached(MEBIBYTE).await;
        let driver = registry.driver_pid().await;
        rustix::process::kill_process(driver, signal).unwrap();
        sender.send(Ok(content.slice(MEBIBYTE..20 * MEBIBYTE))).await.unwrap();
        reached(20 * MEBIBYTE).await;
        if signal == Signal::STOP {
            rustix::process::kill_process(driver, Signal::CONT).unwrap();
        }
        sender.send(Ok(content.slice(20 * MEBIBYTE..))).await.unwrap();
        drop(sender);
        answer.await.unwrap().expect(StatusCode::ACCEPTED);
        close(&registry, &location, &sha256(&content), "").await.expect(StatusCode::CREATED);
        assert_stored(&registry, &sha256(&content), &content).await;
    }
}

#[tokio::test]
async fn an_upload_changes_from_file_to_stream_and_back_when_the_registry_is_started_otherwise() {
    let setup = Setup::filesystem();
    let (mut registry, content) = (setup.start().await, content(5 * MEBIBYTE));
    let location = begin(&registry, "").await;
    for turn in 0..4 {
        let start = turn * MEBIBYTE;
        patch_at(&registry, &location, start, content.slice(start..start + MEBIBYTE))
            .await
            .expect(StatusCode::ACCEPTED);
        registry.signal(Signal::KILL);
        registry.ended().await;
        let next = setup.clone().set("driver.descriptors", if turn % 2 == 0 { "false" } else { "true" });
        registry = next.start().await;
        assert_eq!(offset(&registry, &location).await, start + MEBIBYTE);
    }
    close(&registry, &location, &sha256(&content), content.slice(4 * MEBIBYTE..)).await.expect(StatusCode::CREATED);
    assert_stored(&registry, &sha256(&content), &content).await;
}

#[tokio::test]
async fn what_a_killed_registry_had_written_and_not_saved_is_dropped() {
    let registry = Setup::filesystem().start().await;
    let content = content(3 * MEBIBYTE);
    let location = begin(&registry, "").await;
    patch_at(&registry, &location, 0, content.slice(..MEBIBYTE)).await.expect(StatusCode::ACCEPTED);
    let (sender, _answer) = open_patch(&registry, &location);
    sender.send(Ok(Bytes::from(vec![7; MEBIBYTE]))).await.unwrap();
    let staged = upload_folder(registry.setup(), &location).join("data");
    let grown = async || (fs::metadata(&staged).unwrap().len() == 2 * MEBIBYTE as u64).then_some(());
    eventually("more is in the file than was saved", grown).await;
    let registry = registry.restart(Signal::KILL).await;
    assert_eq!(offset(&registry, &location).await, MEBIBYTE);
    close(&registry, &location, &sha256(&content), content.slice(MEBIBYTE..)).await.expect(StatusCode::CREATED);
    assert_stored(&registry, &sha256(&content), &content).await;
}

#[tokio::test]
async fn the_file_is_closed_with_whatever_ends_its_request() {
    let registry = Setup::filesystem().start().await;
    let location = begin(&registry, "").await;
    let (sender, answer) = open_patch(&registry, &location);
    sender.send(Ok(content(MEBIBYTE))).await.unwrap();
    eventually("there is a file", async || (written_files(&registry).len() == 1).then_some(())).await;
    registry.delete(&location).await.expect(StatusCode::NO_CONTENT);
    answer.await.unwrap().expect_error(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID");
    drop(sender);
    until_closed(&registry).await;
    let other = content(MEBIBYTE).slice(1..);
    let location = begin(&registry, "").await;
    close(&registry, &location, &sha256(b"another"), other)
        .await
        .expect_error(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    until_closed(&registry).await;
    assert!(!upload_folder(registry.setup(), &location).exists());
}
