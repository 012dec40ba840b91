use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use bellwether_core::{Epoch, SentinelId};

use super::*;

fn registry(epoch: u64) -> Registry {
    let mut registry = Registry::new(SentinelId::new("a").expect("an id"));
    registry.current_epoch = Epoch(epoch);
    registry
}

/// A store whose file has one line per save.
fn store(path: &Path) -> Store {
    let render = |current: &str, registry: &Registry| Ok(format!("{current}{}\n", registry.current_epoch));
    unlocked(path, Box::new(render))
}

/// A store that shares its file with whoever wants it.
fn unlocked(path: &Path, render: Render) -> Store {
    Store::new(path.to_owned(), render, StateLock::none())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

#[test]
fn a_save_replaces_the_file_and_leaves_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sentinel.conf");
    let store = store(&path);
    store.save(&registry(1)).expect("a new file");
    store.save(&registry(2)).expect("an old file");
    assert_eq!(fs::read_to_string(&path).expect("the file"), "1\n2\n");
    assert_eq!(names(directory.path()), ["sentinel.conf"]);
}

#[test]
fn the_mode_of_the_file_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sentinel.conf");
    fs::write(&path, "").expect("a file");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
    store(&path).save(&registry(1)).expect("saved");
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_new_file_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bellwether-state.conf");
    store(&path).save(&registry(1)).expect("saved");
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Only root may give files away; for anybody else there is nothing to keep.
#[test]
fn the_owner_of_the_file_stays() {
    use std::os::unix::fs::MetadataExt;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sentinel.conf");
    fs::write(&path, "").expect("a file");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("its mode");
    std::os::unix::fs::chown(&path, Some(4711), Some(4712)).expect("its owner");
    store(&path).save(&registry(1)).expect("saved");
    let metadata = fs::metadata(&path).expect("the file");
    assert_eq!((metadata.uid(), metadata.gid()), (4711, 4712));
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_symbolic_link_stays_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let (real, link) = (directory.path().join("real"), directory.path().join("link"));
    fs::write(&real, "0\n").expect("a file");
    symlink(&real, &link).expect("a link");
    store(&link).save(&registry(1)).expect("saved");
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&real).expect("the file"), "0\n1\n");
}

fn check_refused(store: &Store, expected: &str) {
    match store.save(&registry(1)) {
        Err(SaveError::Refused(reason)) => assert!(reason.contains(expected), "{reason}"),
        other => panic!("expected a refusal with {expected:?}, got {other:?}"),
    }
}

#[test]
fn what_cannot_be_written_leaves_the_old_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sentinel.conf");
    fs::write(&path, "old\n").expect("a file");
    let no_text = unlocked(&path, Box::new(|_, _| Err("line 3 is odd".to_owned())));
    check_refused(&no_text, "line 3 is odd");
    // A directory in the file's place: the rename fails, even for root.
    let occupied = directory.path().join("occupied");
    fs::create_dir(&occupied).expect("a directory");
    check_refused(&store(&occupied), "occupied");
    assert_eq!(fs::read_to_string(&path).expect("the file"), "old\n");
    let mut left = names(directory.path());
    left.sort();
    assert_eq!(left, ["occupied", "sentinel.conf"]);
}

#[test]
fn a_directory_that_is_gone_is_a_refusal_in_the_same_words_each_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sentinel.conf");
    let store = store(&path);
    fs::remove_dir(directory.path()).expect("it is empty");
    let words = format!(
        "cannot write a new file beside {}: No such file or directory (os error 2)",
        path.display()
    );
    for _ in 0..2 {
        let refusal = store.save(&registry(1)).expect_err("no directory").to_string();
        assert_eq!(refusal, words);
    }
}

#[tokio::test]
async fn one_write_runs_and_its_end_is_awaited() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sentinel.conf");
    let mut disk = Disk::new(store(&path));
    disk.begin(PersistSeq(7), registry(1));
    let saved = disk.ended().await.expect("no panic");
    assert_eq!(saved.seq, PersistSeq(7));
    assert!(saved.result.is_ok());
    assert_eq!(fs::read_to_string(&path).expect("the file"), "1\n");
    disk.begin(PersistSeq(8), registry(2));
    disk.finish(None).await;
    assert_eq!(fs::read_to_string(&path).expect("the file"), "1\n2\n");
}

/// Where [`a_full_disk_leaves_the_old_file`] finds the file system that its other half made for it.
const SMALL_DISK: &str = "BELLWETHER_SMALL_DISK";

/// Runs the test below in a mount namespace of its own with a file system of 64 KiB.
#[test]
fn a_full_disk_is_a_refusal() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs '{0}' && exec '{1}' --ignored --exact disk::tests::a_full_disk_leaves_the_old_file",
        directory.path().display(),
        std::env::current_exe().expect("this program").display(),
    );
    let run = std::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .env(SMALL_DISK, directory.path())
        .output()
        .expect("unshare must be installed for this test (Debian: util-linux)");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert!(
        run.status.success() && stdout.contains("1 passed"),
        "{stdout}{stderr}"
    );
}

#[test]
#[ignore = "run by the test above, on a disk of its own"]
fn a_full_disk_leaves_the_old_file() {
    let directory = PathBuf::from(std::env::var_os(SMALL_DISK).expect("a small disk"));
    let path = directory.join("sentinel.conf");
    let text = "x".repeat(20 * 1024);
    let filling = unlocked(&path, Box::new(move |current, _| Ok(format!("{current}{text}"))));
    filling.save(&registry(1)).expect("20 of 64 KiB");
    // The old and the new one together do not fit.
    filling.save(&registry(2)).expect("60 of 64 KiB");
    let before = fs::read(&path).expect("the file");
    for _ in 0..3 {
        check_refused(&filling, "No space left on device");
        assert!(
            fs::read(&path).expect("the file") == before,
            "the old file has changed"
        );
        assert_eq!(names(&directory), ["sentinel.conf"]);
    }
    // As soon as there is room it works again.
    store(&path).save(&registry(3)).expect_err("40 and 40 KiB");
    fs::write(&path, "0\n").expect("smaller");
    store(&path).save(&registry(3)).expect("room");
    assert_eq!(fs::read_to_string(&path).expect("the file"), "0\n3\n");
}

/// Under root a rename would put a file in the place of a device. The devices here are of our own making.
#[test]
fn what_is_no_regular_file_is_neither_read_nor_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = small_file::tests::pipe(directory.path());
    for path in small_file::tests::zeros(directory.path())
        .into_iter()
        .chain([pipe])
    {
        let before = fs::metadata(&path).expect("it is there").file_type();
        for error in [
            store(&path).save(&registry(1)).expect_err("not read"),
            replace::replace(&path, b"", None).expect_err("not replaced"),
        ] {
            let error = error.to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
            assert!(error.ends_with("and no regular file"), "{error}");
        }
        let after = fs::metadata(&path).expect("it is there").file_type();
        assert_eq!(before, after);
        assert!(after.is_char_device() || after.is_fifo());
    }
}

#[test]
fn what_a_killed_process_has_left_is_removed_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sentinel.conf");
    let kept = [
        "sentinel.conf",
        "sentinel.conf.backup",
        "sentinel.conf.bellwether-aB3.tmp",
        "sentinel.conf.bellwether-aB3-x9.tmp",
        "sentinel.conf.bellwether-aB3dx9.tmp.old",
        "sentinel.conf2.bellwether-aB3dx9.tmp",
        "other.conf.bellwether-aB3dx9.tmp",
        "sentinel.conf.bellwether-atWork.tmp",
    ];
    for name in kept.into_iter().chain([
        "sentinel.conf.bellwether-aB3dx9.tmp",
        "sentinel.conf.bellwether-000000.tmp",
    ]) {
        fs::write(directory.path().join(name), "").expect("a file");
    }
    fs::create_dir(directory.path().join("sentinel.conf.bellwether-folder.tmp")).expect("a directory");
    let at_work = fs::File::open(directory.path().join(kept[7])).expect("the file");
    rustix::fs::flock(&at_work, rustix::fs::FlockOperation::LockExclusive).expect("a lock");
    let link = directory.path().join("link.conf");
    symlink(&path, &link).expect("a link");
    store(&link).sweep();
    let mut left = names(directory.path());
    left.sort();
    let mut expected: Vec<&str> = kept.to_vec();
    expected.extend(["link.conf", "sentinel.conf.bellwether-folder.tmp"]);
    expected.sort_unstable();
    assert_eq!(left, expected);
}

/// What is written is named so that it would be swept.
#[test]
fn a_new_file_is_known_as_such_while_it_is_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sentinel.conf");
    let prefix = replace::temporary_prefix(&path);
    let name = replace::builder(&prefix)
        .tempfile_in(directory.path())
        .expect("a file");
    let name = name.path().file_name().expect("a name").to_owned();
    assert!(replace::is_temporary(&name, &prefix), "{}", name.display());
}
