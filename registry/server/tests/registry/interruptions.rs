//! Uploads whose registry, replica, client or product goes away in between.

use bytes::Bytes;
use reqwest::{Body, Method, StatusCode};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::pushing::{UPLOADS, assert_stored, begin, close, content, offset, patch_at, setups, sha512};
use crate::support::{Answer, Registry, Setup, eventually, sha256};

#[tokio::test]
async fn an_upload_continues_after_the_registry_was_killed() {
    for (query, digest_of) in [("", sha256 as fn(&[u8]) -> String), ("", sha512), ("?digest-algorithm=sha512", sha512)]
    {
        let mut registry = Setup::filesystem().start().await;
        let content = content(700_000);
        let location = begin(&registry, query).await;
        for (start, end) in [(0, 1), (1, 300_001), (300_001, 300_002), (300_002, 650_000)] {
            registry = registry.restart(Signal::KILL).await;
            assert_eq!(offset(&registry, &location).await, if start == 1 { 0 } else { start });
            patch_at(&registry, &location, start, content.slice(start..end)).await.expect(StatusCode::ACCEPTED);
        }
        let registry = registry.restart(Signal::KILL).await;
        let digest = digest_of(&content);
        close(&registry, &location, &digest, content.slice(650_000..)).await.expect(StatusCode::CREATED);
        assert_stored(&registry, &digest, &content).await;
    }
}

#[tokio::test]
async fn another_replica_continues() {
    let setup = Setup::filesystem().set("storage.filesystem.shared", "true");
    let replicas = [setup.start().await, setup.start().await];
    for (query, digest_of) in [("", sha256 as fn(&[u8]) -> String), ("?digest-algorithm=sha512", sha512)] {
        let content = content(1_000_000);
        let location = begin(&replicas[0], query).await;
        for (turn, start) in (0..1_000_000).step_by(100_000).enumerate() {
            let chunk = content.slice(start..start + 100_000);
            patch_at(&replicas[turn % 2], &location, start, chunk).await.expect(StatusCode::ACCEPTED);
        }
        let digest = digest_of(&content);
        close(&replicas[0], &location, &digest, "").await.expect(StatusCode::CREATED);
        assert_stored(&replicas[1], &digest, &content).await;
    }
}

#[tokio::test]
async fn replicas_that_write_at_once_cannot_pass_off_one_content_for_another() {
    let setup = Setup::filesystem().set("storage.filesystem.shared", "true");
    let registry = setup.start().await;
    let (real, claimed) = (Bytes::from_static(b"what is stored"), Bytes::from_static(b"what is hashed"));
    for (content, status) in [(&real, StatusCode::CREATED), (&claimed, StatusCode::BAD_REQUEST)] {
        let location = begin(&registry, "").await;
        registry.patch(&location, real.clone()).await.expect(StatusCode::ACCEPTED);
        // As if another replica had saved the hash of its own bytes after the ones here had replaced them.
        let folder = upload_folder(&setup, &location);
        let state = folder.join(format!("hashstates/sha256/{}", real.len()));
        std::fs::write(state, go_sha256_state(&claimed)).unwrap();
        let mark = folder.join("turns/appending/019a0000-0000-7000-8000-000000000000");
        std::fs::create_dir_all(mark.parent().unwrap()).unwrap();
        std::fs::write(mark, "").unwrap();
        let digest = sha256(content);
        close(&registry, &location, &digest, "").await.expect(status);
    }
    assert_stored(&registry, &sha256(&real), &real).await;
}

#[tokio::test]
async fn an_upload_that_a_replica_is_closing_is_not_touched() {
    let setup = Setup::filesystem().set("storage.filesystem.shared", "true");
    let registry = setup.start().await;
    let location = begin(&registry, "").await;
    registry.patch(&location, "content").await.expect(StatusCode::ACCEPTED);
    let turns = upload_folder(&setup, &location).join("turns");
    assert!(!turns.join("appending").is_dir() || turns.join("appending").read_dir().unwrap().next().is_none());
    std::fs::create_dir_all(turns.join("closing")).unwrap();
    std::fs::write(turns.join("closing/019a0000-0000-7000-8000-000000000000"), "").unwrap();
    registry.patch(&location, "more").await.expect_error(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID");
    let closed = close(&registry, &location, &sha256(b"content"), "").await;
    closed.expect_error(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID");
    assert_eq!(offset(&registry, &location).await, 7);
    registry.delete(&location).await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_upload_whose_hash_state_is_damaged_has_to_be_started_anew() {
    let setup = Setup::filesystem();
    let registry = setup.start().await;
    for damage in [&b""[..], b"garbage", &go_sha256_state(b"other length")] {
        let location = begin(&registry, "").await;
        registry.patch(&location, "content").await.expect(StatusCode::ACCEPTED);
        std::fs::write(upload_folder(&setup, &location).join("hashstates/sha256/7"), damage).unwrap();
        registry.patch(&location, "more").await.expect_error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_INVALID");
        let closed = close(&registry, &location, &sha256(b"content"), "").await;
        closed.expect_error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_INVALID");
        registry.delete(&location).await.expect(StatusCode::NO_CONTENT);
    }
}

/// Where the store keeps an upload of the repository `a/b`.
pub(crate) fn upload_folder(setup: &Setup, location: &str) -> std::path::PathBuf {
    let id = location.rsplit('/').next().unwrap();
    setup.data().join("docker/registry/v2/repositories/a/b/_uploads").join(id)
}

#[tokio::test]
async fn another_replica_takes_over_from_one_that_still_writes() {
    let setup = Setup::filesystem().set("storage.filesystem.shared", "true");
    let replicas = [setup.start().await, setup.start().await];
    let content = content(35 << 20);
    let location = begin(&replicas[0], "").await;
    let (sender, earlier) = open_patch(&replicas[0], &location);
    sender.send(Ok(content.slice(..33 << 20))).await.unwrap();
    let saved = async || Some(offset(&replicas[1], &location).await).filter(|&at| at > 0);
    let saved = eventually("the earlier is under way", saved).await;
    patch_at(&replicas[1], &location, saved, content.slice(saved..34 << 20)).await.expect(StatusCode::ACCEPTED);
    sender.send(Ok(content.slice(33 << 20..))).await.unwrap();
    drop(sender);
    earlier.await.unwrap().expect_error(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID");
    let digest = sha256(&content);
    close(&replicas[0], &location, &digest, content.slice(34 << 20..)).await.expect(StatusCode::CREATED);
    assert_stored(&replicas[1], &digest, &content).await;
}

/// Takes the pieces of a body, and has the answer once they have ended.
type OpenBody = (mpsc::Sender<Result<Bytes, std::io::Error>>, tokio::task::JoinHandle<Answer>);

/// A PATCH that stays open: what is sent here is sent to the registry.
pub(crate) fn open_patch(registry: &Registry, location: &str) -> OpenBody {
    open_body(registry, Method::PATCH, location)
}

/// The same with another method.
pub(crate) fn open_body(registry: &Registry, method: Method, location: &str) -> OpenBody {
    let (sender, pieces) = mpsc::channel(4);
    let request = registry.request(method, location).body(Body::wrap_stream(ReceiverStream::new(pieces)));
    (sender, tokio::spawn(Answer::to(request)))
}

#[tokio::test]
async fn a_long_request_is_saved_on_the_way() {
    let registry = Setup::filesystem().start().await;
    let content = content(40 << 20);
    let location = begin(&registry, "").await;
    let (sender, request) = open_patch(&registry, &location);
    sender.send(Ok(content.clone())).await.unwrap();
    let saved =
        eventually("a part is saved", async || Some(offset(&registry, &location).await).filter(|&at| at > 0)).await;
    assert_eq!(saved, 32 << 20);
    let registry = registry.restart(Signal::KILL).await;
    assert!(request.await.is_err(), "the registry cannot have answered");
    assert_eq!(offset(&registry, &location).await, saved);
    let digest = sha256(&content);
    patch_at(&registry, &location, saved, content.slice(saved..)).await.expect(StatusCode::ACCEPTED);
    close(&registry, &location, &digest, "").await.expect(StatusCode::CREATED);
    assert_stored(&registry, &digest, &content).await;
}

/// Sends the beginning of a request and nothing more.
async fn send_part(registry: &Registry, method: &str, path: &str, announced: usize, sent: &[u8]) -> TcpStream {
    let address = registry.base().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {announced}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(sent).await.unwrap();
    stream
}

#[tokio::test]
async fn what_a_client_sent_before_it_went_away_is_kept() {
    for setup in setups() {
        let registry = setup.start().await;
        let content = content(500_000);
        let location = begin(&registry, "").await;
        let digest = sha256(&content);
        drop(send_part(&registry, "PATCH", &location, 500_000, &content[..200_000]).await);
        let at =
            eventually("the bytes count", async || Some(offset(&registry, &location).await).filter(|&at| at > 0)).await;
        assert!(at <= 200_000);
        let put = format!("{location}?digest={digest}");
        drop(send_part(&registry, "PUT", &put, 500_000 - at, &content[at..300_000]).await);
        let more =
            eventually("more count", async || Some(offset(&registry, &location).await).filter(|&now| now > at)).await;
        assert!(more <= 300_000);
        close(&registry, &location, &digest, content.slice(more..)).await.expect(StatusCode::CREATED);
        assert_stored(&registry, &digest, &content).await;
    }
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_told() {
    let registry = Setup::memory().start().await;
    let location = begin(&registry, "").await;
    let mut stream = send_part(&registry, "PATCH", &location, 100, b"short").await;
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.is_empty() || answer.contains("SIZE_INVALID"), "{answer}");
    eventually("the bytes count", async || (offset(&registry, &location).await == 5).then_some(())).await;
    drop(send_part(&registry, "POST", &format!("{UPLOADS}?digest={}", sha256(b"short")), 100, b"short").await);
    registry.head(&format!("/v2/a/b/blobs/{}", sha256(b"short"))).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_later_of_two_requests_takes_over() {
    for setup in setups() {
        let registry = setup.start().await;
        let content = content(34 << 20);
        let location = begin(&registry, "").await;
        let (sender, earlier) = open_patch(&registry, &location);
        sender.send(Ok(content.slice(..33 << 20))).await.unwrap();
        let saved = async || Some(offset(&registry, &location).await).filter(|&at| at > 0);
        let saved = eventually("the earlier is under way", saved).await;
        let later = patch_at(&registry, &location, 0, content.slice(..1)).await;
        let later = later.expect_error(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID");
        earlier.await.unwrap().expect_error(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID");
        let kept = offset(&registry, &location).await;
        assert_eq!(later.header("range"), format!("0-{}", kept - 1));
        assert!((saved..=33 << 20).contains(&kept), "{kept}");
        let digest = sha256(&content);
        close(&registry, &location, &digest, content.slice(kept..)).await.expect(StatusCode::CREATED);
        assert_stored(&registry, &digest, &content).await;
    }
}

#[tokio::test]
async fn an_upload_that_distribution_began_is_continued() {
    let setup = Setup::filesystem();
    let id = "c5550ab9-9b5c-4d6c-8e5a-0123456789ab";
    let folder = setup.data().join("docker/registry/v2/repositories/a/b/_uploads").join(id);
    std::fs::create_dir_all(folder.join("hashstates/sha256")).unwrap();
    std::fs::write(folder.join("startedat"), "2026-01-02T03:04:05Z").unwrap();
    std::fs::write(folder.join("data"), "from distribution, and more that was never acknowledged").unwrap();
    std::fs::write(folder.join("hashstates/sha256/0"), go_sha256_state(b"")).unwrap();
    std::fs::write(folder.join("hashstates/sha256/17"), go_sha256_state(b"from distribution")).unwrap();
    let registry = setup.start().await;
    let location = format!("{UPLOADS}{id}");
    assert_eq!(offset(&registry, &location).await, 17);
    registry.patch(&location, ", then ").await.expect(StatusCode::ACCEPTED);
    let content = Bytes::from_static(b"from distribution, then from here");
    close(&registry, &location, &sha256(&content), "from here").await.expect(StatusCode::CREATED);
    assert_stored(&registry, &sha256(&content), &content).await;
}

/// How Go writes the state of a sha256 that has taken less than one block: the initial hash, the block so far, the length.
fn go_sha256_state(content: &[u8]) -> Vec<u8> {
    let initial: [u32; 8] =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    let mut state = b"sha\x03".to_vec();
    state.extend(initial.iter().flat_map(|word| word.to_be_bytes()));
    state.extend_from_slice(content);
    state.resize(4 + 32 + 64, 0);
    state.extend((content.len() as u64).to_be_bytes());
    state
}
