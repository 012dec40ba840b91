//! What the disk of a coordinator keeps of the log that all share, as the daemon's store does.

use std::collections::BTreeMap;

use bellwether_core::{LogEntry, LogHardState, LogIdentity, LogSnapshot, LogWrite};
use bellwether_raft::Restored;

/// What is durable of one member's log.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogStore {
    identity: Option<LogIdentity>,
    hard: LogHardState,
    snapshot: Option<LogSnapshot>,
    entries: BTreeMap<u64, LogEntry>,
}

/// What a store has at a place of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nothing.
    Nothing,
    /// An entry of this term.
    Entry(u64),
    /// A snapshot that stands for it.
    Snapshot,
}

impl LogStore {
    /// Carries a write out, in the order that it asks for.
    pub(crate) fn apply(&mut self, write: LogWrite) {
        self.identity = write.identity.or(self.identity);
        if write.reset {
            self.entries.clear();
        }
        self.snapshot = write.snapshot.or_else(|| self.snapshot.take());
        self.entries = self.entries.split_off(&(write.drop_to + 1));
        if let Some(first) = write.entries.first() {
            self.entries.split_off(&first.index);
        }
        self.entries
            .extend(write.entries.into_iter().map(|entry| (entry.index, entry)));
        self.hard = write.hard.unwrap_or(self.hard);
    }

    /// What a new start reads. The coordinator keeps no state beside the log.
    pub(crate) fn restored(&self) -> Restored {
        Restored {
            identity: self.identity,
            hard: self.hard,
            snapshot: self.snapshot.clone(),
            entries: self.entries.values().cloned().collect(),
            applied: 0,
        }
    }

    /// What was promised: the newest term, and for whom in it.
    pub(crate) const fn hard(&self) -> LogHardState {
        self.hard
    }

    /// What there is at a place of the log.
    pub(crate) fn held(&self, index: u64) -> Held {
        match self.entries.get(&index) {
            Some(entry) => Held::Entry(entry.term),
            None if self
                .snapshot
                .as_ref()
                .is_some_and(|snapshot| snapshot.index >= index) =>
            {
                Held::Snapshot
            }
            None => Held::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(entries: &[(u64, u64)]) -> LogWrite {
        let entry = |(index, term): &(u64, u64)| LogEntry {
            index: *index,
            term: *term,
            bytes: Vec::new(),
        };
        LogWrite {
            entries: entries.iter().map(entry).collect(),
            ..LogWrite::default()
        }
    }

    fn snapshot(index: u64) -> Option<LogSnapshot> {
        let bytes = Vec::new();
        Some(LogSnapshot {
            index,
            term: 2,
            bytes,
        })
    }

    #[test]
    fn entries_replace_those_from_the_first_on() {
        let mut store = LogStore::default();
        store.apply(write(&[(2, 1), (3, 1), (4, 1)]));
        store.apply(write(&[(3, 2)]));
        assert_eq!(store.held(2), Held::Entry(1));
        assert_eq!(store.held(3), Held::Entry(2));
        assert_eq!(store.held(4), Held::Nothing);
    }

    #[test]
    fn a_snapshot_stands_for_what_it_lets_go() {
        let mut store = LogStore::default();
        store.apply(write(&[(2, 1), (3, 1), (4, 1)]));
        let own = LogWrite {
            snapshot: snapshot(3),
            drop_to: 2,
            ..LogWrite::default()
        };
        store.apply(own);
        assert_eq!(store.held(2), Held::Snapshot);
        assert_eq!(store.held(4), Held::Entry(1));
        let from_leader = LogWrite {
            reset: true,
            snapshot: snapshot(9),
            ..write(&[(10, 2)])
        };
        store.apply(from_leader);
        assert_eq!(store.held(4), Held::Snapshot);
        assert_eq!(store.held(10), Held::Entry(2));
        assert_eq!(store.restored().entries.len(), 1);
    }
}
