//! The data of a server as its replication sees them: one history of entries under an id, the backlog, and what
//! of it is on disk.
//!
//! Knows nothing of roles or connections.

use std::sync::Arc;

use crate::message::{Entry, ReplId, Snapshot};

/// The data of a running server.
#[derive(Debug)]
pub(super) struct Data {
    /// The id of the history.
    pub(super) replid: ReplId,
    /// The id that the history had up to an offset.
    pub(super) second: Option<(ReplId, u64)>,
    base: u64,
    entries: Arc<Vec<Entry>>,
    /// The offset before the oldest entry that the backlog may hold, however large it is.
    backlog_from: u64,
    saved: Option<Saved>,
}

/// What is on disk.
#[derive(Clone, Debug)]
enum Saved {
    /// The entries in memory up to an offset, which had this id.
    Prefix { replid: ReplId, offset: u64 },
    /// Others than those in memory.
    Other(Stored),
}

/// A data file.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    replid: ReplId,
    base: u64,
    /// How many of the entries count.
    len: usize,
    entries: Arc<Vec<Entry>>,
}

impl Data {
    /// No data, under a new id.
    pub(super) fn empty(replid: ReplId) -> Self {
        Self {
            replid,
            second: None,
            base: 0,
            entries: Arc::default(),
            backlog_from: 0,
            saved: None,
        }
    }

    /// The data of a file. A replica goes on in the same history. A primary begins a new one, and remembers the
    /// id of the file so that its replicas can go on: as servers since 7.0.
    pub(super) fn load(stored: Stored, new_id: Option<ReplId>) -> Self {
        let Stored {
            replid,
            base,
            len,
            mut entries,
        } = stored;
        if entries.len() > len {
            Arc::make_mut(&mut entries).truncate(len);
        }
        let offset = base + entries.len() as u64;
        Self {
            replid: new_id.unwrap_or(replid),
            second: new_id.map(|_| (replid, offset)),
            base,
            entries,
            backlog_from: offset,
            saved: Some(Saved::Prefix { replid, offset }),
        }
    }

    /// Takes the data of a full synchronization in place of its own.
    pub(super) fn replace(&mut self, snapshot: Snapshot) {
        let offset = snapshot.base + snapshot.entries.len() as u64;
        self.replid = snapshot.replid;
        self.second = None;
        self.base = snapshot.base;
        self.entries = snapshot.entries;
        self.backlog_from = offset;
        self.saved = Some(Saved::Prefix {
            replid: self.replid,
            offset,
        });
    }

    /// The file of a full synchronization has arrived and lies on the disk; memory has the old data still.
    pub(super) fn store(&mut self, snapshot: &Snapshot) {
        self.saved = Some(Saved::Other(Stored {
            replid: snapshot.replid,
            base: snapshot.base,
            len: snapshot.entries.len(),
            entries: Arc::clone(&snapshot.entries),
        }));
    }

    /// The history goes on under another id.
    pub(super) fn rename(&mut self, replid: ReplId) {
        self.second = Some((self.replid, self.offset()));
        self.replid = replid;
    }

    pub(super) fn append(&mut self, entries: &[Entry]) {
        Arc::make_mut(&mut self.entries).extend_from_slice(entries);
    }

    /// All data so far is on disk.
    pub(super) fn save(&mut self) {
        self.saved = Some(Saved::Prefix {
            replid: self.replid,
            offset: self.offset(),
        });
    }

    pub(super) fn offset(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    pub(super) const fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The offset before the oldest entry of a backlog of this size.
    pub(super) fn backlog_from(&self, size: u64) -> u64 {
        self.backlog_from.max(self.offset().saturating_sub(size))
    }

    /// What a replica lacks that has this history up to `offset`; nothing if it is another history or the backlog
    /// does not go back as far.
    pub(super) fn missing(&self, replid: ReplId, offset: u64, backlog: u64) -> Option<&[Entry]> {
        let shared = replid == self.replid
            || self
                .second
                .is_some_and(|(second, until)| replid == second && offset <= until);
        let reaches = (self.backlog_from(backlog)..=self.offset()).contains(&offset);
        let from = usize::try_from(offset.checked_sub(self.base)?).ok()?;
        self.entries.get(from..).filter(|_| shared && reaches)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            replid: self.replid,
            base: self.base,
            entries: Arc::clone(&self.entries),
        }
    }

    /// What a crash leaves.
    pub(super) fn stored(&self) -> Option<Stored> {
        Some(match self.saved.as_ref()? {
            Saved::Other(stored) => stored.clone(),
            Saved::Prefix { replid, offset } => Stored {
                replid: *replid,
                base: self.base,
                len: usize::try_from(offset - self.base).ok()?,
                entries: Arc::clone(&self.entries),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::WriteId;

    const A: ReplId = ReplId(1);
    const B: ReplId = ReplId(2);

    fn data(entries: u32) -> Data {
        let mut data = Data::empty(A);
        for n in 0..entries {
            data.append(&[Entry::Write(WriteId(n))]);
        }
        data
    }

    #[test]
    fn the_old_id_counts_up_to_where_it_ended() {
        let mut data = data(3);
        data.rename(B);
        data.append(&[Entry::Ping]);
        assert_eq!(data.missing(A, 3, 100), Some(&[Entry::Ping][..]));
        assert_eq!(data.missing(A, 4, 100), None, "those went another way");
        assert_eq!(data.missing(B, 4, 100), Some(&[][..]));
        assert_eq!(data.missing(B, 5, 100), None, "ahead of us");
    }

    #[test]
    fn the_backlog_bounds_a_partial_synchronization() {
        let data = data(5);
        assert_eq!(data.missing(A, 2, 3).map(<[Entry]>::len), Some(3));
        assert_eq!(data.missing(A, 1, 3), None);
    }

    #[test]
    fn a_file_holds_what_was_saved() {
        let mut data = data(2);
        assert!(data.stored().is_none(), "never saved");
        data.save();
        data.append(&[Entry::Ping]);
        let file = data.stored().expect("a file");
        let replica = Data::load(file.clone(), None);
        assert_eq!((replica.replid, replica.offset(), replica.second), (A, 2, None));
        let primary = Data::load(file, Some(B));
        assert_eq!((primary.replid, primary.second), (B, Some((A, 2))));
        assert_eq!(primary.missing(A, 1, 100), None, "the backlog is not saved");
        assert!(primary.missing(A, 2, 100).is_some());
    }

    #[test]
    fn a_received_file_is_on_disk_before_it_is_in_memory() {
        let mut data = data(2);
        data.save();
        let snapshot = Snapshot {
            replid: B,
            base: 7,
            entries: Arc::default(),
        };
        data.store(&snapshot);
        assert_eq!(data.offset(), 2);
        let stored = data.stored().expect("a file");
        assert_eq!(Data::load(stored, None).offset(), 7);
        data.replace(snapshot);
        assert_eq!((data.replid, data.offset()), (B, 7));
    }
}
