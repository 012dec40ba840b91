//! The log as `raft` reads it: all of it in memory, from the last snapshot on, a little more if members lag.
//!
//! It runs ahead of the disk. `raft` reads here what it has handed out, and is told separately how much of it is
//! durable.

use std::collections::VecDeque;

use raft::eraftpb::{self, ConfState};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use crate::codec::{CodecError, Reader, put_bytes};
use crate::member::Members;
use crate::write::HardState;

/// The version of what is in a snapshot besides the state.
const SNAPSHOT_VERSION: u8 = 1;

/// The longest list of members: each has an id, an address and little else.
const MAX_MEMBERS_LEN: usize = 8 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) hard: HardState,
    snapshot: eraftpb::Snapshot,
    /// The last entry that is gone: index and term.
    before: (u64, u64),
    entries: VecDeque<eraftpb::Entry>,
    /// Bytes of the entries after the snapshot.
    bytes: u64,
}

/// What an entry takes in memory and on disk, roughly.
fn size(entry: &eraftpb::Entry) -> u64 {
    /// Index, term, type and the lengths.
    const AROUND: usize = 32;
    (entry.data.len() + entry.context.len() + AROUND) as u64
}

impl Log {
    /// A log that begins with a snapshot; an empty one for a member that knows nothing.
    pub(crate) fn starting(snapshot: eraftpb::Snapshot, hard: HardState) -> Self {
        let meta = snapshot.get_metadata();
        Self {
            hard,
            before: (meta.index, meta.term),
            snapshot,
            ..Self::default()
        }
    }

    /// Index and term of the last entry.
    pub(crate) fn last(&self) -> (u64, u64) {
        self.entries
            .back()
            .map_or(self.before, |entry| (entry.index, entry.term))
    }

    /// The index of the first entry that is there.
    pub(crate) const fn first(&self) -> u64 {
        self.before.0 + 1
    }

    pub(crate) fn snapshot_index(&self) -> u64 {
        self.snapshot.get_metadata().index
    }

    /// Whether somebody was a member already when the snapshot was made.
    pub(crate) fn snapshot_names(&self, id: u64) -> bool {
        let state = self.snapshot.get_metadata().get_conf_state();
        let sets = [&state.voters, &state.learners, &state.voters_outgoing];
        sets.iter().any(|set| set.contains(&id))
    }

    /// How many bytes have been appended after the snapshot.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The term of an entry, or of the last one that is gone.
    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.before.0 {
            return Some(self.before.1);
        }
        self.at(index).map(|entry| entry.term)
    }

    fn at(&self, index: u64) -> Option<&eraftpb::Entry> {
        let offset = index.checked_sub(self.first())?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// Appends, replacing everything from the first of the entries on.
    pub(crate) fn append(&mut self, entries: Vec<eraftpb::Entry>) {
        let Some(first) = entries.first().map(|entry| entry.index) else {
            return;
        };
        assert!(
            first >= self.first() && first <= self.last().0 + 1,
            "raft appends at {first} to a log from {} to {}",
            self.first(),
            self.last().0
        );
        while let Some(gone) = self.entries.pop_back_if(|entry| entry.index >= first) {
            self.bytes = self.bytes.saturating_sub(size(&gone));
        }
        self.bytes += entries.iter().map(size).sum::<u64>();
        self.entries.extend(entries);
    }

    /// Begins anew with a snapshot of the leader.
    pub(crate) fn install(&mut self, snapshot: eraftpb::Snapshot) {
        *self = Self::starting(snapshot, self.hard);
    }

    /// Takes a snapshot of our own, and drops entries up to `drop_to`.
    pub(crate) fn compact(&mut self, snapshot: eraftpb::Snapshot, drop_to: u64) {
        let index = snapshot.get_metadata().index;
        self.snapshot = snapshot;
        while let Some(gone) = self.entries.pop_front_if(|entry| entry.index <= drop_to) {
            self.before = (gone.index, gone.term);
        }
        let after = self.entries.iter().filter(|entry| entry.index > index);
        self.bytes = after.map(size).sum();
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let hard_state = eraftpb::HardState {
            term: self.hard.term,
            vote: self.hard.vote,
            commit: self.hard.commit,
            ..eraftpb::HardState::default()
        };
        let conf_state = self.snapshot.get_metadata().get_conf_state().clone();
        Ok(RaftState {
            hard_state,
            conf_state,
        })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<eraftpb::Entry>> {
        let Some(offset) = low.checked_sub(self.first()) else {
            return Err(StorageError::Compacted.into());
        };
        let max = max_size.into().unwrap_or(u64::MAX);
        let count = usize::try_from(high.saturating_sub(low)).unwrap_or(usize::MAX);
        let mut sum = 0;
        let wanted = self
            .entries
            .iter()
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(count);
        // At least one, or raft would wait for ever.
        let fitting = wanted.enumerate().take_while(|(nth, entry)| {
            sum += size(entry);
            *nth == 0 || sum <= max
        });
        Ok(fitting.map(|(_, entry)| entry.clone()).collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        self.term_at(index).ok_or_else(|| {
            let gone = index < self.before.0;
            let error = if gone {
                StorageError::Compacted
            } else {
                StorageError::Unavailable
            };
            error.into()
        })
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last().0)
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<eraftpb::Snapshot> {
        // A member ignores a snapshot that does not name it, and would be sent it for ever.
        if self.snapshot_index() < request_index || !self.snapshot_names(to) {
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(self.snapshot.clone())
    }
}

/// Makes a snapshot of the state and the members at an index.
pub(crate) fn pack_snapshot(index: u64, term: u64, members: &Members, state: &[u8]) -> eraftpb::Snapshot {
    let mut data = vec![SNAPSHOT_VERSION];
    put_bytes(&mut data, &members.encode());
    data.extend_from_slice(state);
    let mut snapshot = eraftpb::Snapshot {
        data: data.into(),
        ..eraftpb::Snapshot::default()
    };
    let meta = snapshot.mut_metadata();
    (meta.index, meta.term) = (index, term);
    meta.set_conf_state(members.conf_state());
    snapshot
}

/// Reads what [`pack_snapshot`] has made, and makes sure that `raft` is told of the same members as we are.
pub(crate) fn unpack_snapshot(snapshot: &eraftpb::Snapshot) -> Result<(Members, &[u8]), CodecError> {
    let mut reader = Reader::new(&snapshot.data);
    let version = reader.u8("version of a snapshot")?;
    if version != SNAPSHOT_VERSION {
        let (what, value) = ("version of a snapshot", version.into());
        return Err(CodecError::Value { what, value });
    }
    let members = Members::decode(reader.bytes("members", MAX_MEMBERS_LEN)?)?;
    let meta = snapshot.get_metadata();
    if !same_sets(meta.get_conf_state(), &members.conf_state()) || members.index > meta.index {
        let (what, value) = (
            "index of members that are not those of the snapshot",
            members.index,
        );
        return Err(CodecError::Value { what, value });
    }
    Ok((members, reader.rest()))
}

fn same_sets(left: &ConfState, right: &ConfState) -> bool {
    let sorted = |ids: &[u64]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids
    };
    let sets = |state: &ConfState| {
        [
            sorted(&state.voters),
            sorted(&state.voters_outgoing),
            sorted(&state.learners),
            sorted(&state.learners_next),
        ]
    };
    sets(left) == sets(right) && left.auto_leave == right.auto_leave
}
