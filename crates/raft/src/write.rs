//! What goes to the disk, and comes back from it at a start. The store keeps bytes; it need not understand them.

pub use bellwether_core::{
    LogEntry as Entry, LogHardState as HardState, LogIdentity as Identity, LogSnapshot as Snapshot,
    LogWrite as Write,
};
use protobuf::Message as _;
use raft::eraftpb;

pub(crate) fn stored_entry(entry: &eraftpb::Entry) -> Entry {
    Entry {
        index: entry.index,
        term: entry.term,
        // Writing to memory cannot fail, and all required fields have defaults.
        bytes: entry.write_to_bytes().unwrap_or_default(),
    }
}

pub(crate) fn stored_snapshot(snapshot: &eraftpb::Snapshot) -> Snapshot {
    let meta = snapshot.get_metadata();
    Snapshot {
        index: meta.index,
        term: meta.term,
        bytes: snapshot.write_to_bytes().unwrap_or_default(),
    }
}

pub(crate) const fn stored_hard_state(hard: &eraftpb::HardState) -> HardState {
    HardState {
        term: hard.term,
        vote: hard.vote,
        commit: hard.commit,
    }
}
