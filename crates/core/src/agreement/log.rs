//! What a replicated log has to keep: plain data, so that whoever has a disk can write it without knowing raft.

use std::fmt;

/// The name of one group of members, drawn when it is founded. A frame of another group is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// The group.
    pub cluster: ClusterId,
    /// The member.
    pub id: u64,
}

/// What a member has promised: losing it could make two leaders of one term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogHardState {
    /// The highest term it has seen.
    pub term: u64,
    /// For whom it voted in that term; 0 for nobody.
    pub vote: u64,
    /// How far the log was known to be committed; may lag behind.
    pub commit: u64,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place, counted from 1 without a gap.
    pub index: u64,
    /// The term of the leader that appended it.
    pub term: u64,
    /// Everything about it, encoded.
    pub bytes: Vec<u8>,
}

/// What stands in for the log up to an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSnapshot {
    /// The last entry it stands for.
    pub index: u64,
    /// That entry's term.
    pub term: u64,
    /// Members and state, encoded.
    pub bytes: Vec<u8>,
}

/// What must be durable, all of it or nothing, before the log
/// is told so with its number. The parts are to be done in the order in which they stand here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogWrite {
    /// Its number, counted from 1.
    pub seq: u64,
    /// Whose log it is; told once, for an empty store.
    pub identity: Option<LogIdentity>,
    /// The snapshot came from the leader: all entries stored before are void.
    pub reset: bool,
    /// Replaces the snapshot.
    pub snapshot: Option<LogSnapshot>,
    /// Entries up to this index may go. They must not stay for ever, but nothing depends on when they go.
    pub drop_to: u64,
    /// First all stored entries from the first of these on are void, then these are appended.
    pub entries: Vec<LogEntry>,
    /// Replaces the hard state.
    pub hard: Option<LogHardState>,
}

impl LogWrite {
    /// Takes over what is to follow, as if both had been written one after the other.
    pub fn append_entries(&mut self, entries: Vec<LogEntry>) {
        let Some(first) = entries.first().map(|entry| entry.index) else {
            return;
        };
        let kept = self
            .entries
            .iter()
            .take_while(|entry| entry.index < first)
            .count();
        self.entries.truncate(kept);
        self.entries.extend(entries);
    }

    /// Takes over a snapshot of the leader, after which nothing from before counts.
    pub fn install(&mut self, snapshot: LogSnapshot) {
        self.entries.clear();
        self.reset = true;
        self.snapshot = Some(snapshot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> LogEntry {
        let bytes = Vec::new();
        LogEntry { index, term, bytes }
    }

    #[test]
    fn entries_gathered_replace_what_they_overlap() {
        let mut write = LogWrite::default();
        write.append_entries(vec![entry(4, 1), entry(5, 1), entry(6, 1)]);
        write.append_entries(vec![entry(5, 2)]);
        assert_eq!(write.entries, [entry(4, 1), entry(5, 2)]);
        write.append_entries(vec![entry(3, 3)]);
        assert_eq!(write.entries, [entry(3, 3)]);
    }

    #[test]
    fn a_snapshot_of_the_leader_voids_what_was_gathered() {
        let mut write = LogWrite::default();
        write.append_entries(vec![entry(4, 1)]);
        let bytes = Vec::new();
        let snapshot = LogSnapshot {
            index: 9,
            term: 2,
            bytes,
        };
        write.install(snapshot.clone());
        write.append_entries(vec![entry(10, 2)]);
        assert!(write.reset);
        assert_eq!(
            (write.snapshot, write.entries),
            (Some(snapshot), vec![entry(10, 2)])
        );
    }
}
