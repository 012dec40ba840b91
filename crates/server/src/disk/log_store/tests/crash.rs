//! Processes that are killed, and disks that are full. The other halves of these tests run in processes of their own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;

/// The write with a number: entries one by one, now and then a new end, a snapshot, or one of the leader's.
fn nth(number: u64) -> Write {
    let after = number * 2;
    let mut write = Write {
        seq: number,
        ..Write::default()
    };
    match number {
        0 => return founding(),
        _ if number.is_multiple_of(40) => {
            write.reset = number.is_multiple_of(80);
            write.snapshot = Some(snapshot(after - 2, number, 30_000));
            write.drop_to = if write.reset { 0 } else { after - 10 };
        }
        _ => {}
    }
    // Of the two entries of the last write, one stays.
    let from = if write.reset {
        after - 1
    } else {
        after.saturating_sub(2).max(2)
    };
    write.entries = entries(from, after + 1, number);
    write.hard = Some(HardState {
        term: number,
        vote: 1,
        commit: 1,
    });
    write
}

fn after(writes: u64) -> Restored {
    let mut model = Restored::default();
    for number in 0..writes {
        follow(&mut model, &nth(number));
    }
    model
}

/// How many writes a state is made of: the term tells.
fn number_of(restored: &Restored) -> u64 {
    if restored.is_empty() {
        return 0;
    }
    match restored.hard.vote {
        0 => 1,
        _ => restored.hard.term + 1,
    }
}

#[test]
fn the_writes_of_the_other_half_fit() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut store, _) = open(directory.path());
    for number in 0..130 {
        store.write(&nth(number)).expect("written");
    }
    drop(store);
    let restored = open(directory.path()).1;
    assert_eq!((number_of(&restored), &restored), (130, &after(130)));
}

/// The other half of [`what_was_acknowledged_survives_a_kill`]: writes as long as it lives, and tells of each write.
#[test]
fn writer_to_be_killed() {
    let Some(directory) = other_half() else {
        return;
    };
    let (mut store, restored) = open(&directory);
    for number in number_of(&restored).. {
        store.write(&nth(number)).expect("written");
        let line = format!("{}\n", number + 1);
        io::stderr().write_all(line.as_bytes()).expect("somebody reads");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    for round in 0..12_usize {
        let mut writer = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "disk::log_store::tests::crash::writer_to_be_killed"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(writer.stderr.take().expect("its words")).lines();
        let told: Vec<String> = lines
            .by_ref()
            .take(1 + round * 7)
            .collect::<Result<_, _>>()
            .expect("words");
        assert_eq!(told.len(), 1 + round * 7, "it has ended by itself: {told:?}");
        writer.kill().expect("killed");
        // What it has told before it died.
        let rest = lines.map_while(Result::ok);
        let acknowledged = told.into_iter().chain(rest).last().expect("a line");
        writer.wait().expect("waited for");
        let acknowledged: u64 = acknowledged.parse().expect("a number");
        let restored = open(directory.path()).1;
        let number = number_of(&restored);
        assert!(
            (acknowledged..=acknowledged + 1).contains(&number),
            "{number} of {acknowledged} writes"
        );
        assert_eq!(restored, after(number));
    }
}

#[test]
fn a_full_disk_is_an_error_and_nothing_is_lost() {
    run_in_memory("4m", "crash::writer_on_a_small_disk");
}

#[test]
fn writer_on_a_small_disk() {
    let Some(directory) = other_half() else {
        return;
    };
    let filler = directory.join("filler");
    let (mut store, mut model) = open(&directory);
    store.write(&founding()).expect("written");
    follow(&mut model, &founding());
    let growing = |model: &Restored| {
        let index = model.entries.last().map_or(1, |entry| entry.index) + 1;
        let bytes = vec![7; 20_000];
        appending(vec![Entry {
            index,
            term: 1,
            bytes,
        }])
    };
    for _ in 0..3 {
        for _ in 0..20 {
            let write = growing(&model);
            store.write(&write).expect("there is room");
            follow(&mut model, &write);
        }
        fill(&filler);
        // The file has some room of its own left.
        let (unwritten, error) = (0..1000)
            .find_map(|_| {
                let write = growing(&model);
                let outcome = store.write(&write);
                if outcome.is_ok() {
                    follow(&mut model, &write);
                }
                outcome.err().map(|error| (write, error))
            })
            .expect("the disk is full");
        match &error {
            LogStoreError::Io { source, .. } => assert_eq!(source.kind(), io::ErrorKind::StorageFull),
            other => panic!("expected that the disk is full, got {other}"),
        }
        let closed = store.write(&unwritten).expect_err("closed");
        assert!(matches!(closed, LogStoreError::Closed { .. }), "{closed}");
        // A start without room is one with everything that was written, or none.
        let full = LogStore::open(&directory);
        fs::remove_file(&filler).expect("removed");
        let mut possible = model.clone();
        follow(&mut possible, &unwritten);
        let sound = |restored: &Restored| *restored == model || *restored == possible;
        match full {
            Ok((store, restored)) => {
                drop(store);
                assert!(sound(&restored), "opened without room: {restored:?}");
            }
            Err(error) => assert!(matches!(error, LogStoreError::Io { .. }), "{error}"),
        }
        let (opened, restored) = open(&directory);
        assert!(sound(&restored));
        (store, model) = (opened, restored);
        // What the next round has to fill.
        let last = model.entries.last().expect("some").index;
        let write = Write {
            snapshot: Some(snapshot(last, 1, 50)),
            drop_to: last - 1,
            ..Write::default()
        };
        store.write(&write).expect("there is room again");
        follow(&mut model, &write);
    }
}

/// Leaves no room on the disk.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file");
    let error = loop {
        if let Err(error) = file.write_all(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
