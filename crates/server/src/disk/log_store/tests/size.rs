//! How large the file gets.

use super::*;

const MIB: u64 = 1024 * 1024;

fn file_len(directory: &Path) -> u64 {
    fs::metadata(directory.join(LOG_FILE)).expect("the file").len()
}

/// What a leader does for years: entry after entry, now and then a snapshot.
#[test]
fn the_file_does_not_grow_with_what_is_dropped() {
    run_in_memory("16m", "size::writer_for_years");
}

#[test]
fn writer_for_years() {
    let Some(directory) = other_half() else {
        return;
    };
    let (mut store, mut model) = open(&directory);
    store.write(&founding()).expect("written");
    follow(&mut model, &founding());
    let mut largest = 0;
    for index in 2..3000 {
        let mut write = appending(vec![Entry {
            bytes: vec![1; 500],
            ..entry(index, 1)
        }]);
        if index % 50 == 0 {
            let len = usize::try_from(index * 7919 % 300_000).expect("small");
            write.snapshot = Some(snapshot(index - 1, 1, len));
            write.drop_to = index - 20;
        }
        store.write(&write).expect("written");
        follow(&mut model, &write);
        largest = largest.max(file_len(&directory));
    }
    // 9 MB of snapshots and 1.5 MB of entries went through it.
    assert!(largest <= 4 * MIB, "{largest} bytes");
    drop(store);
    assert_eq!(open(&directory).1, model);
}

#[test]
fn a_file_that_is_much_too_large_is_made_smaller_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut store, mut model) = open(directory.path());
    let large = Write {
        snapshot: Some(snapshot(1, 1, 12 << 20)),
        ..founding()
    };
    let small = Write {
        snapshot: Some(snapshot(4, 1, 10)),
        drop_to: 3,
        ..appending(entries(2, 6, 1))
    };
    for write in [large, small] {
        store.write(&write).expect("written");
        follow(&mut model, &write);
    }
    // As a process leaves it that is killed: one that ends in good order makes it smaller by itself.
    let path = directory.path().join(LOG_FILE);
    let image = fs::read(&path).expect("the file");
    drop(store);
    fs::write(&path, image).expect("put back");
    let before = file_len(directory.path());
    assert!(before > 12 * MIB, "{before} bytes");
    let (mut store, restored) = open(directory.path());
    assert_eq!(restored, model);
    let after = file_len(directory.path());
    assert!(after <= 4 * MIB, "{after} bytes");
    let write = appending(entries(7, 8, 1));
    store.write(&write).expect("written");
    follow(&mut model, &write);
    drop(store);
    assert_eq!(open(directory.path()).1, model);
}

/// The largest state there may be, replaced by another of the same size.
#[test]
fn the_largest_snapshot_fits() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut store, mut model) = open(directory.path());
    let largest = |index| {
        Some(Snapshot {
            index,
            term: 1,
            bytes: vec![3; format::MAX_STORED_SNAPSHOT],
        })
    };
    for write in [
        Write {
            snapshot: largest(1),
            ..founding()
        },
        Write {
            snapshot: largest(2),
            ..Write::default()
        },
    ] {
        store.write(&write).expect("written");
        follow(&mut model, &write);
    }
    let len = file_len(directory.path());
    assert!(len <= 260 * MIB, "{len} bytes");
    drop(store);
    assert!(open(directory.path()).1 == model);
}
