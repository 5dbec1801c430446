//! A full disk, missing permissions and a read-only mount, each told apart from content that is not there.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use driver_testsuite::{Launch, reason};
use storagedriver_proto::v1alpha1::storage_error::Reason;
use tempfile::TempDir;

use crate::support::{launch, own_files, refusal, start, try_start};

/// A file system of its own, unmounted when this is dropped.
struct Mount {
    place: TempDir,
}

impl Mount {
    /// An empty file system in memory.
    fn in_memory(options: &str) -> Self {
        Self::new(&["-t", "tmpfs", "-o", options, "none"])
    }

    fn new(arguments: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(arguments).arg(place.path()).output().unwrap();
        let problem = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "this test needs to be allowed to mount (run it as root): {problem}");
        Mount { place }
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn remount(&self, options: &str) {
        let remounted = Command::new("mount").args(["-o", options]).arg(self.path()).status().unwrap();
        assert!(remounted.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_no_space_and_leaves_nothing_half_done() {
    let disk = Mount::in_memory("size=4m");
    let driver = start(disk.path(), &[]).await;
    driver.put("/kept", vec![1; 100_000]).await.unwrap();

    let mut filled = Ok(());
    for number in 0..20 {
        filled = filled.and(driver.put(&format!("/fill/{number}"), vec![2; 400_000]).await.map(drop));
    }
    assert_eq!(reason(filled), Reason::NoSpace);
    assert_eq!(reason(driver.put("/kept", vec![3; 800_000]).await), Reason::NoSpace);
    assert_eq!(reason(driver.stage("/u/data", &[4; 2_000_000]).await), Reason::NoSpace);
    assert_eq!(driver.content("/kept").await.unwrap(), [1; 100_000]);
    assert_eq!(own_files(disk.path()), ["alive"]);

    driver.delete("/fill", true).await.unwrap();
    driver.stage("/u/data", &[4; 2_000_000]).await.unwrap();
    driver.commit("/u/data", "/blob", 2_000_000).await.unwrap();
    assert_eq!(driver.content("/blob").await.unwrap(), [4; 2_000_000]);
}

#[tokio::test]
async fn a_full_session_goes_on_when_there_is_space_again() {
    let disk = Mount::in_memory("size=4m");
    let driver = start(disk.path(), &[]).await;
    driver.put("/fill", vec![2; 1_000_000]).await.unwrap();
    let mut writing = driver.open("/u/data", 0).await.unwrap();
    writing.data(&[4; 1_000_000]).await;
    assert_eq!(writing.flush().await.unwrap(), 1_000_000);
    writing.data(&[4; 2_500_000]).await;
    assert_eq!(reason(writing.flush().await), Reason::NoSpace);

    driver.delete("/fill", false).await.unwrap();
    let mut writing = driver.open("/u/data", 1_000_000).await.unwrap();
    writing.data(&[4; 2_500_000]).await;
    assert_eq!(writing.flush().await.unwrap(), 3_500_000);
    driver.commit("/u/data", "/blob", 3_500_000).await.unwrap();
    assert_eq!(driver.content("/blob").await.unwrap(), [4; 3_500_000]);
}

/// Root may read and write everything; without these capabilities it is a user like any other.
fn launch_as_a_user() -> Launch {
    if !rustix::process::geteuid().is_root() {
        return launch();
    }
    let program = env!("CARGO_BIN_EXE_bulkhead-driver-filesystem");
    Launch::new("setpriv").argument("--bounding-set=-dac_override,-dac_read_search").argument(program)
}

fn set_mode(path: impl Into<PathBuf>, mode: u32) {
    fs::set_permissions(path.into(), Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn what_may_not_be_read_is_denied_and_not_missing() {
    let place = tempfile::tempdir().unwrap();
    let driver = try_start(launch_as_a_user(), place.path(), &[]).await.unwrap();
    for path in ["/folder/content", "/file", "/open/content"] {
        driver.put(path, "1").await.unwrap();
    }
    set_mode(place.path().join("folder"), 0o000);
    set_mode(place.path().join("file"), 0o000);
    set_mode(place.path().join("open"), 0o555);
    let denied = Reason::AccessDenied;
    assert_eq!(reason(driver.get("/folder/content").await), denied);
    assert_eq!(reason(driver.stat("/folder/content").await), denied);
    assert_eq!(reason(driver.stat("/folder").await), denied);
    assert_eq!(reason(driver.list("/folder", "", 0).await), denied);
    assert_eq!(reason(driver.paths("/").await), denied);
    assert_eq!(reason(driver.put("/folder/new", "2").await), denied);
    assert_eq!(reason(driver.delete("/folder/content", false).await), denied);
    assert_eq!(reason(driver.get("/file").await), denied);
    assert_eq!(reason(driver.put("/open/content", "2").await), denied);
    assert_eq!(reason(driver.delete("/open/content", false).await), denied);
    assert_eq!(reason(driver.stage("/open/session", b"2").await), denied);
    assert_eq!(driver.content("/open/content").await.unwrap(), b"1");
    set_mode(place.path().join("folder"), 0o755);
    set_mode(place.path().join("open"), 0o755);
}

#[tokio::test]
async fn a_marker_that_cannot_be_removed_gives_no_right_to_published_bytes() {
    let place = tempfile::tempdir().unwrap();
    let shared = &[("shared", "true")];
    let (here, there) = (start(place.path(), shared).await, launch_as_a_user());
    let there = try_start(there, place.path(), shared).await.unwrap();
    let mut writing = here.stage("/u/data", &[1; 1000]).await.unwrap();
    set_mode(place.path().join("u/~writers"), 0o555);
    assert_eq!(reason(there.commit("/u/data", "/blob", 999).await), Reason::OffsetInvalid);
    writing.data(&[1; 500]).await;
    assert_eq!(writing.flush().await.unwrap(), 1500);
    there.commit("/u/data", "/blob", 1500).await.unwrap();
    writing.data(&[9; 500]).await;
    assert_eq!(reason(writing.flush().await), Reason::Fenced);
    assert_eq!(there.content("/blob").await.unwrap(), [1; 1500]);
    set_mode(place.path().join("u/~writers"), 0o755);
}

#[tokio::test]
async fn a_root_that_cannot_be_used_gets_a_sentence_with_the_remedy() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("file"), "").unwrap();
    set_mode(place.path(), 0o555);
    for (root, sentence) in [
        ("new/store", "the parameter rootdirectory names a folder that cannot be made: the driver's user may not"),
        (
            "file",
            "the parameter rootdirectory names a folder that cannot be opened: it, or something above it, is a file",
        ),
        ("", "the parameter rootdirectory names a folder that cannot be written to: the driver's user may not"),
    ] {
        let root = place.path().join(root);
        let (reason, message) = refusal(try_start(launch_as_a_user(), &root, &[]).await, &root);
        assert_eq!((reason, message.as_str()), (Reason::ConfigInvalid, sentence));
    }
    set_mode(place.path(), 0o755);
    let driver = try_start(launch_as_a_user(), &place.path().join("new/store"), &[]).await.unwrap();
    driver.put("/content", "1").await.unwrap();
    let mode = fs::metadata(place.path().join("new/store")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_read_only_file_system_is_served_when_it_is_meant_to_be() {
    let disk = Mount::in_memory("size=4m");
    fs::write(disk.path().join("content"), "1").unwrap();
    disk.remount("remount,ro");
    let (reason, message) = refusal(try_start(launch(), disk.path(), &[]).await, disk.path());
    assert_eq!(reason, Reason::ConfigInvalid);
    assert!(message.contains("readonly: true"), "{message}");
    let driver = start(disk.path(), &[("readonly", "true")]).await;
    assert_eq!(driver.content("/content").await.unwrap(), b"1");
}

#[tokio::test]
async fn a_disk_of_its_own_below_the_root_is_emptied_in_place() {
    let place = tempfile::tempdir().unwrap();
    let inner = place.path().join("repositories");
    fs::create_dir(&inner).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&inner).status().unwrap();
    assert!(mounted.success(), "this test needs to be allowed to mount: run it as root");
    fs::create_dir_all(inner.join("a/b")).unwrap();
    fs::write(inner.join("a/b/content"), "1").unwrap();
    let driver = start(place.path(), &[]).await;
    let read = driver.content("/repositories/a/b/content").await;
    let put = driver.put("/repositories/a/new", "2").await;
    let deleted = driver.delete("/repositories/a/b", true).await;
    let left = inner.join("a/b").exists();
    assert!(Command::new("umount").arg(&inner).status().unwrap().success());
    assert_eq!((read.unwrap(), reason(put)), (b"1".to_vec(), Reason::Internal));
    assert_eq!((deleted.is_ok(), left), (true, false));
}

#[tokio::test]
async fn a_commit_that_failed_after_it_published_has_fenced_its_writers() {
    let place = tempfile::tempdir().unwrap();
    let driver = try_start(launch_as_a_user(), place.path(), &[]).await.unwrap();
    let (above, blob) = (place.path().join("secret"), place.path().join("secret/folder/blob"));
    fs::create_dir_all(place.path().join("secret/folder")).unwrap();
    // What is below can be written and the folder itself not be read: so its name cannot be made durable.
    set_mode(&above, 0o300);
    let mut writing = driver.stage("/u/data", &[1; 1000]).await.unwrap();
    assert_eq!(reason(driver.commit("/u/data", "/secret/folder/blob", 1000).await), Reason::AccessDenied);
    set_mode(&above, 0o700);
    assert_eq!(fs::read(&blob).unwrap(), [1; 1000]);
    writing.data(&[2; 1000]).await;
    assert_eq!(reason(writing.flush().await), Reason::Fenced);
    assert_eq!(fs::read(&blob).unwrap(), [1; 1000]);
    driver.commit("/u/data", "/secret/folder/blob", 1000).await.unwrap();
    assert_eq!(driver.content("/secret/folder/blob").await.unwrap(), [1; 1000]);
}
