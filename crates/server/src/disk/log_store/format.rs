//! What is in the rows of the store, byte by byte. Numbers are in network order.
//!
//! The head tells everything that fits in one row, and what the other tables must hold: a row that is missing is seen
//! there, as damage inside a row is by its checksum. The version stands first in it and stays there in all versions.

use bellwether_raft::{ClusterId, Entry, HardState, Identity, MAX_SNAPSHOT_LEN, Write};

/// The version of everything here.
pub(super) const VERSION: u32 = 1;

/// How many bytes of a snapshot are in one row. With what the database puts around it, a row fills a block of 64 KiB, so
/// that the blocks of an old snapshot fit any newer one.
pub(super) const CHUNK: usize = 64 * 1024 - 256;

/// The longest snapshot: the state in it, and the list of members with some room to grow.
pub(super) const MAX_STORED_SNAPSHOT: usize = MAX_SNAPSHOT_LEN + 64 * 1024;

/// Length of the head: version, identity, hard state, entries, snapshot, checksum.
const HEAD_LEN: usize = 4 + (1 + 16 + 8) + 3 * 8 + 2 * 8 + (1 + 3 * 8 + 4) + 4;

/// How much stands before the bytes of an entry: checksum and term.
const ENTRY_HEAD_LEN: usize = 4 + 8;

/// Whose log it is, what was promised, and what else must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) identity: Option<Identity>,
    pub(super) hard: HardState,
    pub(super) snapshot: Option<SnapshotHead>,
    /// The index of the first entry.
    pub(super) first: u64,
    /// The index after that of the last entry; as large as `first` if there is none.
    pub(super) end: u64,
}

/// What a snapshot is, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SnapshotHead {
    pub(super) index: u64,
    pub(super) term: u64,
    pub(super) len: u64,
    pub(super) checksum: u32,
}

/// Why a row is not what was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadRow {
    /// A later version has written it.
    Version(u32),
    /// Its length or checksum is wrong.
    Damaged,
}

impl Head {
    /// What the head is after a write. Entries must follow each other, and what is there already, without a gap.
    pub(super) fn after(&self, write: &Write) -> Result<Self, String> {
        let mut head = *self;
        if let Some(identity) = write.identity {
            if head.identity.is_some_and(|known| known != identity) {
                return Err("it tells another owner of the log than there is".to_owned());
            }
            head.identity = Some(identity);
        }
        if write.reset {
            (head.first, head.end) = (0, 0);
        }
        if let Some(snapshot) = &write.snapshot {
            if snapshot.bytes.len() > MAX_STORED_SNAPSHOT {
                return Err(format!("its snapshot has {} bytes", snapshot.bytes.len()));
            }
            head.snapshot = Some(SnapshotHead::of(snapshot.index, snapshot.term, &snapshot.bytes));
        }
        head.first = head.first.max(write.drop_to.saturating_add(1)).min(head.end);
        if let (Some(first), Some(last)) = (write.entries.first(), write.entries.last()) {
            head.append(first.index, last.index, write.entries.len())?;
            let consecutive = (first.index..).zip(&write.entries);
            if let Some((expected, entry)) = consecutive
                .into_iter()
                .find(|(index, entry)| *index != entry.index)
            {
                return Err(format!("entry {} stands where {expected} has to be", entry.index));
            }
        }
        if let Some(hard) = write.hard {
            head.hard = hard;
        }
        Ok(head)
    }

    fn append(&mut self, first: u64, last: u64, count: usize) -> Result<(), String> {
        let follows = match self.snapshot {
            _ if self.first < self.end => self.end,
            Some(snapshot) => snapshot.index.saturating_add(1),
            None => 1,
        };
        if first == 0 || first > follows {
            return Err(format!("entry {first} cannot follow where {follows} has to be"));
        }
        // Beyond this the number after it is none.
        if last == u64::MAX || last.wrapping_sub(first) != count as u64 - 1 {
            return Err(format!("{count} entries cannot be those from {first} to {last}"));
        }
        self.first = if self.first < self.end {
            self.first.min(first)
        } else {
            first
        };
        self.end = last + 1;
        Ok(())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_LEN);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.push(self.identity.is_some().into());
        let (cluster, id) = self
            .identity
            .map_or((0, 0), |identity| (identity.cluster.0, identity.id));
        out.extend_from_slice(&cluster.to_be_bytes());
        let hard = self.hard;
        for number in [id, hard.term, hard.vote, hard.commit, self.first, self.end] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.push(self.snapshot.is_some().into());
        let snapshot = self.snapshot.unwrap_or(SnapshotHead {
            index: 0,
            term: 0,
            len: 0,
            checksum: 0,
        });
        for number in [snapshot.index, snapshot.term, snapshot.len] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&snapshot.checksum.to_be_bytes());
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_be_bytes());
        debug_assert_eq!(out.len(), HEAD_LEN);
        out
    }

    pub(super) fn decode(row: &[u8]) -> Result<Self, BadRow> {
        let mut reader = Reader(row);
        match reader.u32() {
            Some(VERSION) if row.len() == HEAD_LEN => {}
            Some(version) if version > VERSION => return Err(BadRow::Version(version)),
            _ => return Err(BadRow::Damaged),
        }
        let (content, checksum) = row.split_at(HEAD_LEN - 4);
        if crc32fast::hash(content).to_be_bytes() != checksum {
            return Err(BadRow::Damaged);
        }
        reader.head().ok_or(BadRow::Damaged)
    }

    /// How many entries there are.
    pub(super) const fn count(&self) -> u64 {
        self.end.saturating_sub(self.first)
    }
}

impl SnapshotHead {
    pub(super) fn of(index: u64, term: u64, bytes: &[u8]) -> Self {
        let len = bytes.len() as u64;
        Self {
            index,
            term,
            len,
            checksum: crc32fast::hash(bytes),
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.array()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    /// The head after its version.
    fn head(&mut self) -> Option<Head> {
        let known = self.flag()?;
        let cluster = ClusterId(self.array().map(u128::from_be_bytes)?);
        let identity = Identity {
            cluster,
            id: self.u64()?,
        };
        let hard = HardState {
            term: self.u64()?,
            vote: self.u64()?,
            commit: self.u64()?,
        };
        let (first, end) = (self.u64()?, self.u64()?);
        let there = self.flag()?;
        let snapshot = SnapshotHead {
            index: self.u64()?,
            term: self.u64()?,
            len: self.u64()?,
            checksum: self.u32()?,
        };
        let sound = first <= end && snapshot.len <= MAX_STORED_SNAPSHOT as u64;
        sound.then_some(Head {
            identity: known.then_some(identity),
            hard,
            snapshot: there.then_some(snapshot),
            first,
            end,
        })
    }
}

pub(super) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(ENTRY_HEAD_LEN + entry.bytes.len());
    out.extend_from_slice(&entry_checksum(entry.index, entry.term, &entry.bytes).to_be_bytes());
    out.extend_from_slice(&entry.term.to_be_bytes());
    out.extend_from_slice(&entry.bytes);
    out
}

pub(super) fn decode_entry(index: u64, row: &[u8]) -> Result<Entry, BadRow> {
    let mut reader = Reader(row);
    let checksum = reader.u32().ok_or(BadRow::Damaged)?;
    let term = reader.u64().ok_or(BadRow::Damaged)?;
    let bytes = reader.0.to_vec();
    if entry_checksum(index, term, &bytes) != checksum {
        return Err(BadRow::Damaged);
    }
    Ok(Entry { index, term, bytes })
}

/// Over the index too, so that an entry in another's place is seen.
fn entry_checksum(index: u64, term: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&index.to_be_bytes());
    hasher.update(&term.to_be_bytes());
    hasher.update(bytes);
    hasher.finalize()
}
