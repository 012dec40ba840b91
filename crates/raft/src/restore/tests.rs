//! Stores that contradict themselves or the settings are refused, each for what is wrong with it.

use raft::eraftpb;

use super::*;
use crate::settings::ClusterId;
use crate::write::stored_entry;

fn settings() -> Settings {
    Settings::new(1, ClusterId(5), 7)
}

fn founders() -> BTreeMap<u64, String> {
    (1..=3).map(|id| (id, format!("host{id}:1"))).collect()
}

fn entry(index: u64, term: u64) -> Entry {
    let entry = eraftpb::Entry {
        index,
        term,
        ..eraftpb::Entry::default()
    };
    stored_entry(&entry)
}

/// A store with a snapshot at 1 and entries up to 4, all of term 2.
fn sound() -> Restored {
    let own = settings();
    Restored {
        identity: Some(Identity {
            cluster: own.cluster,
            id: own.id,
        }),
        hard: HardState {
            term: 2,
            vote: 1,
            commit: 3,
        },
        entries: (2..=4).map(|index| entry(index, 2)).collect(),
        ..Restored::founding(&own, &founders(), b"state").unwrap()
    }
}

/// Why a store is refused after `spoil` was done to it.
#[track_caller]
fn refusal(spoil: impl FnOnce(&mut Restored)) -> StartError {
    let mut restored = sound();
    spoil(&mut restored);
    restored.check(&settings(), false).expect_err("it is spoilt")
}

#[test]
fn a_sound_store_is_taken() {
    let start = sound().check(&settings(), false).unwrap();
    assert_eq!((start.log.first(), start.log.last()), (2, (4, 2)));
    assert_eq!(start.members.addresses, founders());
    assert_eq!(start.state, Some((1, 1, b"state".to_vec())));
}

#[test]
fn what_was_applied_is_committed_and_not_given_again() {
    let mut restored = sound();
    restored.applied = 4;
    let start = restored.check(&settings(), false).unwrap();
    assert_eq!((start.log.hard.commit, start.applied, start.state), (4, 4, None));
}

#[test]
fn entries_that_the_snapshot_stands_for_may_be_there_or_not() {
    let mut restored = sound();
    restored.entries.insert(0, entry(1, 1));
    assert!(restored.check(&settings(), false).is_ok());
}

#[test]
fn another_member_or_group_cannot_start_from_it() {
    let other_id = refusal(|restored| restored.identity.as_mut().unwrap().id = 2);
    assert!(matches!(other_id, StartError::OtherIdentity { .. }));
    let other_cluster = refusal(|restored| restored.identity.as_mut().unwrap().cluster = ClusterId(6));
    assert!(matches!(other_cluster, StartError::OtherIdentity { .. }));
    assert_eq!(
        refusal(|restored| restored.identity = None),
        StartError::NoIdentity
    );
}

#[test]
fn holes_and_lost_ends_are_noticed() {
    let hole = refusal(|restored| drop(restored.entries.remove(1)));
    assert_eq!(hole, StartError::Hole { before: 2, found: 4 });
    let late = refusal(|restored| drop(restored.entries.remove(0)));
    assert_eq!(late, StartError::Hole { before: 1, found: 3 });
    let lost = refusal(|restored| restored.entries.truncate(1));
    let (last, what) = (2, "what is committed");
    assert_eq!(lost, StartError::Lost { last, what, index: 3 });
    let ahead = refusal(|restored| restored.applied = 9);
    let (last, what) = (4, "what is applied");
    assert_eq!(ahead, StartError::Lost { last, what, index: 9 });
    assert_eq!(
        refusal(|restored| restored.snapshot = None),
        StartError::NoSnapshot
    );
}

#[test]
fn terms_that_go_back_are_noticed() {
    let back = refusal(|restored| restored.entries[1] = entry(3, 1));
    let (index, term, before) = (3, 1, 2);
    assert_eq!(back, StartError::Term { index, term, before });
    let old = refusal(|restored| restored.hard.term = 1);
    assert_eq!(old, StartError::OldHardState { last: 2, term: 1 });
}

#[test]
fn damaged_bytes_are_noticed() {
    let garbled = refusal(|restored| restored.entries[1].bytes = vec![0xff; 9]);
    assert!(matches!(garbled, StartError::Entry { index: 3, .. }));
    let swapped = refusal(|restored| restored.entries[1].bytes = entry(4, 2).bytes);
    assert!(matches!(swapped, StartError::Entry { index: 3, .. }));
    let cut = refusal(|restored| restored.snapshot.as_mut().unwrap().bytes.truncate(20));
    assert!(matches!(cut, StartError::Snapshot { index: 1, .. }));
    let moved = refusal(|restored| restored.snapshot.as_mut().unwrap().term = 2);
    assert!(matches!(moved, StartError::Snapshot { index: 1, .. }));
}

#[test]
fn founding_needs_an_empty_store_and_a_place_among_the_founders() {
    let error = sound()
        .check(&settings(), true)
        .expect_err("it is founded already");
    assert!(matches!(error, StartError::AlreadyFounded { .. }));
    let stranger = Restored::founding(&Settings::new(9, ClusterId(5), 7), &founders(), b"");
    assert_eq!(stranger, Err(StartError::NoFounder { id: 9 }));
    let mut unreachable = founders();
    unreachable.insert(2, String::new());
    let error = Restored::founding(&settings(), &unreachable, b"");
    assert_eq!(error, Err(StartError::Founders(BadChange::Address { len: 0 })));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let with = |change: fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        settings.check()
    };
    assert_eq!(with(|_| ()), Ok(()));
    assert_eq!(with(|settings| settings.id = 0), Err(StartError::ZeroId));
    for change in [
        (|settings| settings.heartbeat = settings.election_min / 2) as fn(&mut Settings),
        |settings| settings.election_max = settings.election_min,
        |settings| settings.heartbeat /= 1000,
        |settings| settings.election_max *= 1000,
    ] {
        assert!(matches!(with(change), Err(StartError::Times { .. })));
    }
}
