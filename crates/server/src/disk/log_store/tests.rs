use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::process::Command;

use bellwether_core::Instant;
use bellwether_raft::{ClusterId, HardState, Identity, Node, Settings};
use proptest::prelude::*;

use super::*;

mod crash;
mod damage;
mod size;

const OWN: Identity = Identity {
    cluster: ClusterId(0xBEE),
    id: 3,
};

fn entry(index: u64, term: u64) -> Entry {
    let len = usize::try_from(index * 37 % 400).expect("small");
    Entry {
        index,
        term,
        bytes: vec![b'a' + (index % 26) as u8; len],
    }
}

fn entries(from: u64, to: u64, term: u64) -> Vec<Entry> {
    (from..=to).map(|index| entry(index, term)).collect()
}

fn snapshot(index: u64, term: u64, len: usize) -> Snapshot {
    let bytes = (0..len).map(|at| (at as u64 * 31 + index) as u8).collect();
    Snapshot { index, term, bytes }
}

fn hard(term: u64, commit: u64) -> HardState {
    HardState {
        term,
        vote: 2,
        commit,
    }
}

/// What a founding member writes first.
fn founding() -> Write {
    Write {
        seq: 1,
        identity: Some(OWN),
        snapshot: Some(snapshot(1, 1, 300)),
        hard: Some(HardState {
            term: 1,
            vote: 0,
            commit: 1,
        }),
        ..Write::default()
    }
}

fn appending(entries: Vec<Entry>) -> Write {
    Write {
        entries,
        ..Write::default()
    }
}

/// What a store must give back after a write, put simply.
fn follow(model: &mut Restored, write: &Write) {
    model.identity = write.identity.or(model.identity);
    if write.reset {
        model.entries.clear();
    }
    if write.snapshot.is_some() {
        model.snapshot.clone_from(&write.snapshot);
    }
    model.entries.retain(|entry| entry.index > write.drop_to);
    if let Some(first) = write.entries.first() {
        model.entries.retain(|entry| entry.index < first.index);
    }
    model.entries.extend(write.entries.iter().cloned());
    model.hard = write.hard.unwrap_or(model.hard);
}

fn open(directory: &Path) -> (LogStore, Restored) {
    LogStore::open(directory).expect("a sound log")
}

fn refusal(directory: &Path) -> LogStoreError {
    let error = LogStore::open(directory).expect_err("a refusal");
    let path = directory.join(LOG_FILE).display().to_string();
    assert!(error.to_string().contains(&path), "{error}");
    error
}

/// Where the other half of a test, which runs in a process of its own, finds its directory.
const DIRECTORY: &str = "BELLWETHER_LOG_STORE_TEST";

/// `None` if this is no such process: then there is nothing to do for the other half.
fn other_half() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

/// Runs another half on a file system of its own, as small as is said, that is in memory: there a sync costs nothing.
fn run_in_memory(size: &str, test: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let script = format!(
        "mount -t tmpfs -o size={size} tmpfs '{0}' && exec '{1}' --exact disk::log_store::tests::{test}",
        directory.path().display(),
        std::env::current_exe().expect("this program").display(),
    );
    let run = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .env(DIRECTORY, directory.path())
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
fn a_new_log_is_empty_and_for_its_owner_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, restored) = open(directory.path());
    assert!(restored.is_empty());
    drop(store);
    let (_store, restored) = open(directory.path());
    assert!(restored.is_empty(), "nothing was written");
    let names: Vec<_> = fs::read_dir(directory.path())
        .expect("a directory")
        .flatten()
        .collect();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0].file_name(), LOG_FILE);
    let mode = names[0].metadata().expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_was_written_comes_back_after_each_write() {
    let writes = [
        founding(),
        Write {
            hard: Some(hard(4, 1)),
            ..appending(entries(2, 40, 4))
        },
        // The end is overwritten.
        Write {
            hard: Some(hard(5, 20)),
            ..appending(entries(30, 33, 5))
        },
        appending(entries(34, 34, 5)),
        // A snapshot of our own, some entries before it stay.
        Write {
            snapshot: Some(snapshot(32, 5, 200_000)),
            drop_to: 25,
            ..appending(entries(35, 36, 5))
        },
        // All that goes and comes overlaps.
        Write {
            snapshot: Some(snapshot(36, 5, 10)),
            drop_to: 36,
            ..appending(entries(33, 38, 6))
        },
        Write {
            snapshot: Some(snapshot(38, 6, 10)),
            drop_to: 38,
            ..Write::default()
        },
        appending(entries(39, 39, 6)),
        // One of the leader's.
        Write {
            reset: true,
            snapshot: Some(snapshot(99, 7, 0)),
            hard: Some(hard(7, 99)),
            ..Write::default()
        },
        appending(entries(100, 100, 7)),
        Write::default(),
    ];
    let directory = tempfile::tempdir().expect("a directory");
    let mut model = Restored::default();
    for (nth, write) in writes.iter().enumerate() {
        let (mut store, restored) = open(directory.path());
        assert_eq!(restored, model, "before write {nth}");
        store.write(write).expect("written");
        follow(&mut model, write);
    }
    assert_eq!(open(directory.path()).1, model);
}

fn any_write() -> impl Strategy<Value = (u64, u64, u64, u8, u8)> {
    (0..12_u64, 0..12_u64, 1..9_u64, any::<u8>(), 0..8_u8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any writes that raft could ask for, in one store that is opened again now and then.
    #[test]
    fn a_store_is_what_its_writes_say(writes in prop::collection::vec(any_write(), 1..40)) {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut store, _) = open(directory.path());
        let mut model = Restored::default();
        let first = founding();
        store.write(&first).expect("written");
        follow(&mut model, &first);
        for (back, count, term, kind, again) in writes {
            let at = model.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
            let last = model.entries.last().map_or(at, |entry| entry.index);
            let mut write = Write::default();
            if kind & 1 != 0 {
                write.reset = kind & 2 != 0;
                let index = if write.reset { last + back } else { at + back.min(last.saturating_sub(at)) };
                write.snapshot = Some(snapshot(index, term, usize::from(kind) * 500));
                write.drop_to = if write.reset { 0 } else { index.saturating_sub(count) };
            }
            if kind & 4 != 0 && count > 0 {
                let from = match (write.reset, &write.snapshot) {
                    (true, Some(snapshot)) => snapshot.index + 1,
                    _ => (last + 1).saturating_sub(back).max(1),
                };
                write.entries = entries(from, from + count - 1, term);
            }
            if kind & 8 != 0 {
                write.hard = Some(hard(term, last));
            }
            store.write(&write).expect("written");
            follow(&mut model, &write);
            if again == 0 {
                drop(store);
                let (opened, restored) = open(directory.path());
                prop_assert_eq!(&restored, &model);
                store = opened;
            }
        }
        drop(store);
        prop_assert_eq!(open(directory.path()).1, model);
    }
}

/// The only member of a group, stopped and started again.
#[test]
fn a_member_goes_on_from_what_it_wrote() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = Settings::new(1, ClusterId(7), 11);
    let founders = BTreeMap::from([(1, "127.0.0.1:1".to_owned())]);
    let mut now = Instant::from_millis(0);
    let mut indexes = Vec::new();
    for run in 0..3_u8 {
        let (mut store, restored) = open(directory.path());
        let mut node = match run {
            0 => Node::found(settings.clone(), &founders, b"state", &restored, now),
            _ => Node::new(settings.clone(), restored, now),
        }
        .expect("a sound log");
        let wanted = [b'p', run];
        let mut proposed = false;
        // Each turn is either a write or a step in time; far fewer are needed.
        let found = (0..1000).find_map(|_| {
            while let Some(write) = node.poll_write() {
                store.write(&write).expect("written");
                node.written(write.seq);
            }
            while let Some(committed) = node.poll_committed() {
                if let bellwether_raft::Committed::Entry { index, payload, .. } = committed
                    && payload == wanted
                {
                    return Some(index);
                }
            }
            if node.is_leader() && !proposed {
                proposed = true;
                node.propose(now, wanted.to_vec(), 7);
            }
            if let Some(deadline) = node.poll_deadline() {
                now = now.max(deadline);
                node.handle_time(now);
            }
            None
        });
        indexes.push(found.expect("committed"));
    }
    assert!(
        indexes.is_sorted_by(|before, after| before < after),
        "{indexes:?}"
    );
}

#[test]
fn a_write_that_does_not_fit_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(directory.path());
    let mut model = Restored::default();
    for write in [founding(), appending(entries(2, 5, 2))] {
        store.write(&write).expect("written");
        follow(&mut model, &write);
    }
    let other = Identity { id: 4, ..OWN };
    let long = Snapshot {
        index: 9,
        term: 2,
        bytes: vec![0; format::MAX_STORED_SNAPSHOT + 1],
    };
    for (unfit, words) in [
        (
            appending(entries(7, 8, 2)),
            "entry 7 cannot follow where 6 has to be",
        ),
        (
            appending(vec![entry(6, 2), entry(8, 2)]),
            "2 entries cannot be those from 6 to 8",
        ),
        (
            appending(vec![entry(6, 2), entry(6, 2), entry(8, 2)]),
            "entry 6 stands where 7 has to be",
        ),
        (
            appending(vec![Entry {
                index: 0,
                ..entry(1, 1)
            }]),
            "entry 0 cannot follow",
        ),
        (
            appending(vec![
                entry(6, 2),
                Entry {
                    index: 5,
                    ..entry(1, 1)
                },
            ]),
            "2 entries cannot be those from 6 to 5",
        ),
        (
            Write {
                drop_to: u64::MAX,
                ..appending(entries(3, 3, 2))
            },
            "entry 3 cannot follow where 2 has to be",
        ),
        (
            Write {
                identity: Some(other),
                ..Write::default()
            },
            "another owner",
        ),
        (
            Write {
                snapshot: Some(long),
                ..Write::default()
            },
            "its snapshot has",
        ),
    ] {
        let unfit = Write { seq: 17, ..unfit };
        let error = store.write(&unfit).expect_err(words);
        assert!(matches!(error, LogStoreError::Unfit { seq: 17, .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let write = appending(entries(6, 6, 2));
    store.write(&write).expect("it goes on");
    follow(&mut model, &write);
    drop(store);
    assert_eq!(open(directory.path()).1, model);
}

#[test]
fn a_log_is_open_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open(directory.path());
    assert!(matches!(refusal(directory.path()), LogStoreError::InUse { .. }));
    drop(store);
    open(directory.path());
}

#[test]
fn a_log_that_was_removed_or_replaced_is_not_written_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(LOG_FILE);
    let (mut store, _) = open(directory.path());
    store.write(&founding()).expect("written");
    let away = directory.path().join("away");
    fs::rename(&path, &away).expect("moved");
    for replaced in [false, true] {
        if replaced {
            fs::rename(&away, &path).expect("moved back");
            (store, _) = open(directory.path());
            fs::copy(&path, &away).expect("a copy");
            fs::rename(&away, &path).expect("replaced");
        }
        let error = store.write(&appending(entries(2, 2, 1))).expect_err("replaced");
        assert!(matches!(error, LogStoreError::Replaced { .. }), "{error:?}");
        let error = store.write(&appending(entries(2, 2, 1))).expect_err("closed");
        assert!(matches!(error, LogStoreError::Closed { .. }), "{error:?}");
    }
    assert_eq!(open(directory.path()).1.entries, []);
}

#[test]
fn what_a_killed_process_has_left_unfinished_is_removed() {
    let directory = tempfile::tempdir().expect("a directory");
    let left = directory.path().join(format!("{LOG_FILE}.bellwether-aB3dx9.tmp"));
    fs::write(&left, "half").expect("a file");
    let (_store, restored) = open(directory.path());
    assert!(restored.is_empty());
    assert!(!left.exists());
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(LOG_FILE);
    for (content, words) in [
        (
            b"port 26379\n".as_slice(),
            "is no log of decisions: it is no database",
        ),
        (b"x".as_slice(), "is no log of decisions: it is no database"),
        (&[0; 70_000], "is no log of decisions: it is no database"),
        (b"", "is damaged: it is cut short"),
        (b"redb", "is damaged: it is cut short"),
        (MAGIC, "is damaged: it is cut short"),
    ] {
        fs::write(&path, content).expect("a file");
        let error = refusal(directory.path()).to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(fs::read(&path).expect("the file"), content);
    }
}

#[test]
fn databases_of_others_are_refused() {
    let strange: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bellwether-head");
    for named_alike in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let database = Database::create(directory.path().join(LOG_FILE)).expect("a database");
        let transaction = database.begin_write().expect("begun");
        let table = if named_alike { strange } else { ENTRIES };
        drop(transaction.open_table(table).expect("a table"));
        transaction.commit().expect("written");
        drop(database);
        let error = refusal(directory.path());
        assert!(matches!(error, LogStoreError::Foreign { .. }), "{error}");
    }
}

#[test]
fn a_format_of_the_future_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(open(directory.path()));
    let mut row = Head::default().encode();
    row[..4].copy_from_slice(&(format::VERSION + 1).to_be_bytes());
    row.push(0);
    let database = Database::create(directory.path().join(LOG_FILE)).expect("a database");
    let transaction = database.begin_write().expect("begun");
    transaction
        .open_table(HEAD)
        .expect("the table")
        .insert((), row.as_slice())
        .expect("put");
    transaction.commit().expect("written");
    drop(database);
    match refusal(directory.path()) {
        LogStoreError::Version {
            found: 2, known: 1, ..
        } => {}
        other => panic!("expected the version, got {other}"),
    }
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(LOG_FILE);
    let pipe = small_file::tests::pipe(directory.path());
    symlink(&pipe, &path).expect("a link");
    assert!(matches!(
        refusal(directory.path()),
        LogStoreError::Io { what: "open", .. }
    ));
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a directory");
    assert!(matches!(
        refusal(directory.path()),
        LogStoreError::Io { what: "open", .. }
    ));
    let missing = directory.path().join("missing");
    assert!(matches!(
        refusal(&missing),
        LogStoreError::Io { what: "make", .. }
    ));
}

/// The configuration knows the limits of the log by numbers of its own.
#[test]
fn the_configuration_has_the_limits_of_the_log() {
    assert_eq!(bellwether_conf::MAX_RAFT_MEMBERS, bellwether_raft::MAX_MEMBERS);
    let highest = bellwether_conf::MAX_RAFT_MEMBER_ID;
    let founders = |id| BTreeMap::from([(id, "h:1".to_owned())]);
    bellwether_raft::Members::founding(&founders(highest)).expect("the highest id");
    bellwether_raft::Members::founding(&founders(highest + 1)).expect_err("too high");
}
