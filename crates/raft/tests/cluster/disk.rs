//! A store in memory: what was written and synced survives a crash, what was under way may be lost.

use bellwether_raft::{Entry, HardState, Identity, Restored, Snapshot, Write};

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    identity: Option<Identity>,
    hard: HardState,
    snapshot: Option<Snapshot>,
    entries: Vec<Entry>,
    /// The write under way, and when it will be durable.
    pub(crate) under_way: Option<(u64, Write)>,
    /// It was there before and is lost.
    pub(crate) lost: bool,
    /// How long a write takes, in milliseconds.
    pub(crate) takes: u64,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self {
            takes: 1,
            ..Self::default()
        }
    }

    /// The write under way is durable now; gives back its number.
    pub(crate) fn sync(&mut self) -> u64 {
        let (_, write) = self.under_way.take().expect("a write is under way");
        let seq = write.seq;
        self.store(write);
        seq
    }

    fn store(&mut self, write: Write) {
        if write.identity.is_some() {
            assert_eq!(self.identity, None, "the identity is told once");
            self.identity = write.identity;
        }
        if write.reset {
            self.entries.clear();
        }
        if write.snapshot.is_some() {
            self.snapshot = write.snapshot;
        }
        self.entries.retain(|entry| entry.index > write.drop_to);
        if let Some(first) = write.entries.first() {
            self.entries.retain(|entry| entry.index < first.index);
        }
        self.entries.extend(write.entries);
        if let Some(hard) = write.hard {
            assert!(hard.term >= self.hard.term, "the term goes back on disk");
            let changed = hard.term == self.hard.term && self.hard.vote != 0 && hard.vote != self.hard.vote;
            assert!(!changed, "two votes in term {}", hard.term);
            self.hard = hard;
        }
    }

    /// The process died. What was under way is there if `kept`.
    pub(crate) fn crash(&mut self, kept: bool) {
        if let Some((_, write)) = self.under_way.take()
            && kept
        {
            self.store(write);
        }
    }

    pub(crate) fn restored(&self) -> Restored {
        Restored {
            identity: self.identity,
            hard: self.hard,
            snapshot: self.snapshot.clone(),
            entries: self.entries.clone(),
            applied: 0,
        }
    }

    /// Term, vote and the last entry that a crash would leave.
    pub(crate) fn durable(&self) -> (u64, u64, u64) {
        let snapshot = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let last = self.entries.last().map_or(snapshot, |entry| entry.index);
        (self.hard.term, self.hard.vote, last.max(snapshot))
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }
}
