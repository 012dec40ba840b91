//! Files that are not as they were written.

use super::*;

/// How long the header of the database is, and where in it stands which of its two commits counts.
const HEADER_LEN: usize = 320;
const GOD_BYTE: usize = 9;

/// A log with something in every table, as the file is after each write: of a process that was killed, and, at the end,
/// of one that has ended in good order.
struct History {
    states: Vec<Restored>,
    images: Vec<Vec<u8>>,
    closed: Vec<u8>,
}

fn history() -> History {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(LOG_FILE);
    let (mut store, mut model) = open(directory.path());
    let image = || fs::read(&path).expect("the file");
    let (mut states, mut images) = (vec![model.clone()], vec![image()]);
    for write in [
        founding(),
        Write {
            hard: Some(hard(4, 1)),
            ..appending(entries(2, 30, 4))
        },
        Write {
            snapshot: Some(snapshot(20, 4, 70_000)),
            drop_to: 15,
            ..Write::default()
        },
        Write {
            hard: Some(hard(5, 30)),
            ..appending(entries(28, 40, 5))
        },
        appending(entries(41, 60, 5)),
    ] {
        store.write(&write).expect("written");
        follow(&mut model, &write);
        states.push(model.clone());
        images.push(image());
    }
    drop(store);
    History {
        states,
        images,
        closed: image(),
    }
}

/// What an image of the file gives: one of the states, or `None` for a refusal.
fn state_of(image: &[u8], history: &History, what: &str) -> Option<usize> {
    let directory = tempfile::tempdir().expect("a directory");
    state_in(directory.path(), image, history, what)
}

fn state_in(directory: &Path, image: &[u8], history: &History, what: &str) -> Option<usize> {
    fs::write(directory.join(LOG_FILE), image).expect("a file");
    match LogStore::open(directory) {
        Ok((_, restored)) => {
            let state = history.states.iter().position(|state| *state == restored);
            Some(state.unwrap_or_else(|| panic!("{what} gives what never was")))
        }
        Err(error) => {
            let path = directory.join(LOG_FILE).display().to_string();
            assert!(error.to_string().contains(&path), "{what}: {error}");
            None
        }
    }
}

#[test]
fn a_file_of_a_killed_process_holds_the_last_write() {
    let history = history();
    for (nth, image) in history.images.iter().enumerate() {
        assert_eq!(state_of(image, &history, "no damage"), Some(nth));
    }
    assert_eq!(
        state_of(&history.closed, &history, "no damage"),
        Some(history.states.len() - 1)
    );
}

/// Where something is stored: the whole header, and a sample of the rest.
fn places(image: &[u8]) -> impl Iterator<Item = usize> {
    let used = (HEADER_LEN..image.len()).filter(|at| image[*at] != 0);
    (0..HEADER_LEN).chain(used.step_by(211))
}

#[test]
fn damaged_bytes_are_a_refusal_or_an_earlier_state() {
    run_in_memory("16m", "damage::reader_of_damaged_files");
}

#[test]
fn reader_of_damaged_files() {
    let Some(directory) = other_half() else {
        return;
    };
    let history = history();
    let newest = history.states.len() - 1;
    let (mut refused, mut older, mut unseen) = (0, Vec::new(), 0);
    for image in [&history.images[newest], &history.closed] {
        for at in places(image) {
            let mut damaged = image.clone();
            damaged[at] ^= 1 << (at % 8);
            let what = format!("bit {} of byte {at} turned", at % 8);
            match state_in(&directory, &damaged, &history, &what) {
                None => refused += 1,
                Some(state) if state == newest => unseen += 1,
                Some(_) => older.push(at),
            }
        }
    }
    assert!(refused > 500, "only {refused} refusals, {unseen} without effect");
    // One byte tells which of the two newest commits counts, and no checksum covers it.
    assert!(
        older.iter().all(|at| *at == GOD_BYTE),
        "older states by damage at {older:?}"
    );
}

/// Both bits of the byte that tells which commit counts, and how.
#[test]
fn the_byte_that_tells_the_newest_commit_is_the_only_one_without_a_guard() {
    let history = history();
    let newest = history.states.len() - 1;
    for image in [&history.images[newest], &history.closed] {
        for bit in 0..8 {
            let mut damaged = image.clone();
            damaged[GOD_BYTE] ^= 1 << bit;
            let state = state_of(&damaged, &history, &format!("bit {bit} turned"));
            assert!(
                state.is_none_or(|state| state + 1 >= newest),
                "bit {bit} gives {state:?}"
            );
        }
    }
}

#[test]
fn a_file_that_was_cut_is_refused() {
    let history = history();
    for image in [history.images.last().expect("some"), &history.closed] {
        let used = image.iter().rposition(|byte| *byte != 0).expect("something");
        let lengths = (0..image.len())
            .step_by(4096)
            .chain([1, 9, 64, 320, 511, image.len() - 1, used]);
        for len in lengths {
            match state_of(&image[..len], &history, &format!("cut at {len}")) {
                None => {}
                // Nothing that counts was in what is gone.
                Some(state) => assert!(len > used && state == history.states.len() - 1, "cut at {len}"),
            }
        }
    }
}

/// A crash of the machine in the middle of a commit: of what the database had asked to be written, any sectors may be on
/// the disk. It asks for the sectors of the header last, after a sync.
#[test]
fn a_torn_commit_leaves_the_state_before_it() {
    const SECTOR: usize = 512;
    let history = history();
    for (nth, pair) in history.images.windows(2).enumerate() {
        let [before, after] = pair else {
            unreachable!("windows of two")
        };
        let len = before.len().max(after.len());
        let grown = |image: &[u8]| {
            let mut image = image.to_vec();
            image.resize(len, 0);
            image
        };
        let (before, after) = (grown(before), grown(after));
        let changed: Vec<usize> = (SECTOR..len)
            .step_by(SECTOR)
            .filter(|at| before[*at..at + SECTOR] != after[*at..at + SECTOR])
            .collect();
        assert!(!changed.is_empty());
        for pattern in 0..12_usize {
            let mut torn = before.clone();
            for (number, at) in changed.iter().enumerate() {
                if (number * 7 + pattern * 5) % 11 < pattern {
                    torn[*at..at + SECTOR].copy_from_slice(&after[*at..at + SECTOR]);
                }
            }
            let what = format!("commit {nth} torn by pattern {pattern}");
            assert_eq!(state_of(&torn, &history, &what), Some(nth), "{what}");
        }
    }
}

/// The checksums of the store itself, behind those of the database: rows that were changed in a sound database.
#[test]
fn rows_that_were_changed_are_refused() {
    type Change = fn(&redb::WriteTransaction);
    fn rows<'a>(transaction: &'a redb::WriteTransaction) -> redb::Table<'a, u64, &'static [u8]> {
        transaction.open_table(ENTRIES).expect("the table")
    }
    let changes: [(&str, Change); 9] = [
        ("it has 44 entries of 45", |transaction| {
            rows(transaction).remove(60).expect("removed");
        }),
        ("it has 46 entries of 45", |transaction| {
            rows(transaction).insert(61, [0; 40].as_slice()).expect("put");
        }),
        ("entry 30 is not", |transaction| {
            let row = rows(transaction)
                .remove(30)
                .expect("removed")
                .expect("there")
                .value()
                .to_vec();
            rows(transaction).insert(61, row.as_slice()).expect("put");
        }),
        ("entry 30 is not", |transaction| {
            let row = rows(transaction)
                .get(31)
                .expect("read")
                .expect("there")
                .value()
                .to_vec();
            rows(transaction).insert(30, row.as_slice()).expect("put");
        }),
        ("entry 30 is not", |transaction| {
            rows(transaction).insert(30, [0; 3].as_slice()).expect("put");
        }),
        ("the snapshot at 20 is not", |transaction| {
            transaction
                .open_table(SNAPSHOT)
                .expect("the table")
                .remove(1)
                .expect("removed");
        }),
        ("the snapshot at 20 is not", |transaction| {
            let mut table = transaction.open_table(SNAPSHOT).expect("the table");
            table.insert(2, b"more".as_slice()).expect("put");
        }),
        ("its head is missing", |transaction| {
            transaction
                .open_table(HEAD)
                .expect("the table")
                .remove(())
                .expect("removed");
        }),
        ("its head is not", |transaction| {
            let mut table = transaction.open_table(HEAD).expect("the table");
            let mut row = table.get(()).expect("read").expect("there").value().to_vec();
            row[40] ^= 1;
            table.insert((), row.as_slice()).expect("put");
        }),
    ];
    let history = history();
    for (words, change) in changes {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(LOG_FILE);
        fs::write(&path, &history.closed).expect("a file");
        let database = Database::create(&path).expect("a database");
        let transaction = database.begin_write().expect("begun");
        change(&transaction);
        transaction.commit().expect("written");
        drop(database);
        let error = refusal(directory.path());
        assert!(matches!(error, LogStoreError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_damaged_head_is_never_taken_for_a_sound_one() {
    let head = Head {
        identity: Some(OWN),
        hard: hard(7, 90),
        snapshot: Some(SnapshotHead::of(80, 6, b"bytes")),
        first: 70,
        end: 95,
    };
    let row = head.encode();
    assert_eq!(Head::decode(&row), Ok(head));
    assert_eq!(Head::decode(&Head::default().encode()), Ok(Head::default()));
    for at in 0..row.len() {
        assert!(Head::decode(&row[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut damaged = row.clone();
            damaged[at] ^= 1 << bit;
            assert!(Head::decode(&damaged).is_err(), "bit {bit} of {at}");
        }
    }
}
